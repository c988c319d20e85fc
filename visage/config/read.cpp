#include "nn/checkpoint/checkpoint.h"
#include "tensor/error.h"
#include "visage/config/edit_distance.h"
#include "visage/config/keys.h"

#include <toml++/toml.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace visage::config {
namespace {

std::vector<std::string> key_paths() {
  std::vector<std::string> paths;
  const Config config;
  visit_keys(config, [&](const std::string& path, const auto&...) { paths.push_back(path); });
  return paths;
}

bool is_section(const std::string& path) {
  return std::ranges::any_of(key_paths(), [&](const std::string& key) { return key.starts_with(path + '.'); });
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

/// The key or section most like `path`: by its whole path, or by its last part when it was put in the wrong section.
std::string nearest_name(const std::string& path) {
  std::vector<std::string> names = key_paths();
  for (const std::string& key : key_paths())
    for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1))
      names.push_back(key.substr(0, dot));
  const auto distance = [&](const std::string& name) {
    return std::min(edit_distance(path, name), edit_distance(last_part(path), last_part(name)) + 1);
  };
  return *std::ranges::min_element(names, {}, distance);
}

[[noreturn]] void fail_unknown(const std::string& place, const std::string& path) {
  fail<UsageError>("", place, "unknown key ", text_of(path), "; the nearest valid name is \"", nearest_name(path), '"');
}

/// Visitor that sets the key called `path`.
struct Setter {
  const std::string& place;
  const std::string& path;
  const std::optional<Value>& value;  // empty: something that no key takes
  const std::string& got;
  bool found = false;

  template <class T, class Rule>
  void operator()(const std::string& name, T& field, const Rule& rule, const std::string&) {
    if (name != path) return;
    found = true;
    const std::optional<T> parsed = value ? rule.parse(*value) : std::nullopt;
    check<UsageError>(parsed.has_value(), "", place, path, " must be ", rule.allowed(), "; got ", got);
    field = *parsed;
  }
};

/// What a TOML node holds, if a key can hold such a thing at all.
std::optional<Value> value_of(const toml::node& node) {
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* text = node.as_string()) return text->get();
  const auto* list = node.as_array();
  if (!list) return std::nullopt;
  std::vector<std::string> names;
  for (const toml::node& element : *list) {
    if (!element.is_string()) return std::nullopt;
    names.push_back(element.as_string()->get());
  }
  return names;
}

std::string shortened(std::string text) {
  constexpr std::size_t longest = 60;
  return text.size() <= longest ? text : text.substr(0, longest) + "...";
}

void set_key(Config& config, const std::string& place, const std::string& path, const toml::node& node) {
  const std::optional<Value> value = value_of(node);
  const std::string got = value             ? shortened(text_of(*value))
                          : node.is_table() ? "a table"
                          : node.is_array() ? "a list of something else"
                                            : "a date or time";
  Setter setter{.place = place, .path = path, .value = value, .got = got};
  visit_keys(config, setter);
  if (!setter.found) fail_unknown(place, path);
}

std::string place_of(const std::string& file, const toml::source_region& source) {
  std::ostringstream place;
  place << file << ':' << source.begin.line << ':' << source.begin.column << ": ";
  return place.str();
}

/// Where each key of a file stands.
using Places = std::map<std::string, std::string>;

void read_table(Config& config, Places& places, const std::string& file, const std::string& prefix,
                const toml::table& table) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    const std::string place = place_of(file, key.source());
    if (is_section(path)) {
      check<UsageError>(node.is_table(), "", place, path, " is a section and must be a table: [", path, ']');
      read_table(config, places, file, path + '.', *node.as_table());
    } else {
      set_key(config, place, path, node);
      places[path] = place;
    }
  }
}

toml::table parsed(const std::string& text, const std::string& file) try {
  return toml::parse(text, file);
} catch (const toml::parse_error& error) {
  fail<UsageError>("", place_of(file, error.source()), error.description());
}

std::string text_of_file(const std::string& path) {
  check<UsageError>(!std::filesystem::is_directory(path), "", path, ": is a folder; give a configuration file");
  std::ifstream stream(path, std::ios::binary);
  check<UsageError>(stream.good(), "", path, ": cannot be opened; check the path of the configuration file");
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  check<UsageError>(!stream.bad(), "", path, ": cannot be read");
  return text;
}

// Other files than safetensors have none. Whether the file can be used is for its reader to say.
std::optional<std::string> toml_in(const std::string& weights) try {
  char start[9] = {};
  std::ifstream(weights, std::ios::binary).read(start, sizeof start);
  if (start[8] != '{') return std::nullopt;
  const auto metadata = nn::read_checkpoint(weights).metadata;
  const auto found = metadata.find("config");
  return found == metadata.end() ? std::nullopt : std::optional(found->second);
} catch (const Error&) {
  return std::nullopt;
}

/// What does not fit together, and the key that says so.
struct Misfit {
  std::string key, rule;
};

std::optional<Misfit> misfit_of(const TrainConfig& train) {
  if (train.eval_every == 0 || !train.eval.path.empty()) return std::nullopt;
  if (train.data.kind != DataKind::synthetic)
    return Misfit{"train.eval.path", "must name a data set where train.eval_every is not 0"};
  if (train.eval.seed == train.seed)
    return Misfit{"train.eval.seed", "must differ from train.seed, whose videos are trained on; got " +
                                         std::to_string(train.eval.seed) + " for both"};
  return std::nullopt;
}

std::optional<Misfit> misfit_of(const Config& config) {
  const Mask2FormerConfig& detector = config.model.detector;
  const InferenceConfig& inference = config.inference;
  const auto text = [](std::size_t number) { return std::to_string(number); };
  if (detector.hidden % 32 != 0 || detector.hidden % detector.heads != 0)
    return Misfit{"model.detector.hidden",
                  "must be a multiple of 32 and of heads (" + text(detector.heads) + "); got " + text(detector.hidden)};
  if (!config.class_names.empty() && static_cast<int>(config.class_names.size()) != detector.num_classes)
    return Misfit{"class_names", "must have one name for each of model.detector.num_classes (" +
                                     text(detector.num_classes) + "); got " + text(config.class_names.size())};
  if (inference.longest_edge < inference.shortest_edge)
    return Misfit{"inference.longest_edge", "must be at least inference.shortest_edge (" +
                                                text(inference.shortest_edge) + "); got " +
                                                text(inference.longest_edge)};
  if (inference.top_k > std::int64_t{detector.num_queries} * detector.num_classes)
    return Misfit{"inference.top_k", "must be at most num_queries x num_classes; got " + text(inference.top_k)};
  if (detector.mode == Mode::offline && config.tracking.tracker != TrackerKind::visage)
    return Misfit{"tracking.tracker",
                  "is of no use to an offline model, whose queries follow objects themselves "
                  "(model.detector.mode); leave it out"};
  const TrainDataConfig& data = config.train.data;
  const auto range = [&](const char* key, int least, int most) -> std::optional<Misfit> {
    if (least <= most) return std::nullopt;
    return Misfit{"train.data.most_" + std::string(key), "must be at least train.data.least_" + std::string(key) +
                                                             " (" + text(least) + "); got " + text(most)};
  };
  if (const auto misfit = range("edge", data.least_edge, data.most_edge)) return misfit;
  if (const auto misfit = range("objects", data.least_objects, data.most_objects)) return misfit;
  if (data.crop_least > data.crop_most)
    return Misfit{"train.data.crop_most", "must be at least train.data.crop_least (" + text(data.crop_least) +
                                              "); got " + text(data.crop_most)};
  return misfit_of(config.train);
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view space = " \t";
  const auto first = text.find_first_not_of(space);
  return first == std::string_view::npos ? ""
                                         : std::string(text.substr(first, text.find_last_not_of(space) - first + 1));
}

Config read_config(const std::string& text, const std::string& name, std::span<const std::string> overrides) {
  Config config;
  Places places;
  read_table(config, places, name, "", parsed(text, name));
  for (const std::string& assignment : overrides) apply_override(config, assignment);
  if (const std::optional<Misfit> misfit = misfit_of(config)) {
    const auto place = places.find(misfit->key);
    const std::string where = place != places.end() ? place->second : name.empty() ? "" : name + ": ";
    fail<UsageError>("", where, misfit->key, ' ', misfit->rule);
  }
  return config;
}

}  // namespace

Config load_config(const std::string& path, std::span<const std::string> overrides, const std::string& weights) {
  if (!path.empty()) return read_config(text_of_file(path), path, overrides);
  const std::optional<Config> trained = config_in(weights, overrides);
  return trained ? *trained : read_config("", "", overrides);
}

std::optional<Config> config_in(const std::string& weights, std::span<const std::string> overrides) {
  const std::optional<std::string> toml = toml_in(weights);
  if (!toml) return std::nullopt;
  return read_config(*toml, weights + " (the configuration in it)", overrides);
}

Config parse_config(const std::string& toml, const std::string& name) { return read_config(toml, name, {}); }

void apply_override(Config& config, std::string_view assignment) {
  const std::string place = "override \"" + std::string(assignment) + "\": ";
  const auto equals = assignment.find('=');
  check<UsageError>(equals != std::string_view::npos, "", place, "must be key=value, as in tracking.alpha=0.5");
  const std::string path = trimmed(assignment.substr(0, equals)), text = trimmed(assignment.substr(equals + 1));
  if (is_section(path)) fail<UsageError>("", place, path, " is a section; give one of its keys");
  toml::table table;
  try {
    table = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    // A word without quotes.
  }
  if (table.size() != 1) table.insert_or_assign("value", text);
  set_key(config, place, path, *table.get("value"));
}

void check_config(const Config& config) {
  if (const std::optional<Misfit> misfit = misfit_of(config)) fail<UsageError>("", misfit->key, ' ', misfit->rule);
}

}  // namespace visage::config
