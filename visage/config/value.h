#pragma once
// What a key can hold, and the rules that say what it may hold.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace visage::config {

using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// The value as TOML.
std::string text_of(const Value& value);

/// A rule has allowed(), the words after "must be"; parse(), nothing for what is not allowed; and value(), its inverse.
struct IntegerRange {
  std::int64_t least, greatest;

  std::string allowed() const { return "an integer from " + std::to_string(least) + " to " + std::to_string(greatest); }
  std::optional<int> parse(const Value& value) const {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (!number || *number < least || *number > greatest) return std::nullopt;
    return static_cast<int>(*number);
  }
  Value value(int field) const { return std::int64_t{field}; }
};

struct IntegerChoice {
  std::vector<int> choices;

  std::string allowed() const {
    std::string text = "one of";
    for (const int choice : choices) text += (choice == choices.front() ? " " : ", ") + std::to_string(choice);
    return text;
  }
  std::optional<int> parse(const Value& value) const {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (!number || std::ranges::find(choices, *number) == choices.end()) return std::nullopt;
    return static_cast<int>(*number);
  }
  Value value(int field) const { return std::int64_t{field}; }
};

struct NumberRange {
  double least, greatest;

  std::string allowed() const { return "a number from " + text_of(least) + " to " + text_of(greatest); }
  std::optional<double> parse(const Value& value) const {
    double number = 0;
    if (const auto* real = std::get_if<double>(&value))
      number = *real;
    else if (const auto* whole = std::get_if<std::int64_t>(&value))
      number = static_cast<double>(*whole);
    else
      return std::nullopt;
    if (!(number >= least && number <= greatest)) return std::nullopt;
    return number;
  }
  Value value(double field) const { return field; }
};

template <class Enum>
struct Choice {
  std::vector<std::pair<Enum, std::string>> choices;

  std::string allowed() const {
    std::string text;
    for (const auto& [field, name] : choices) text += (text.empty() ? "" : " or ") + text_of(name);
    return text;
  }
  std::optional<Enum> parse(const Value& value) const {
    const auto* word = std::get_if<std::string>(&value);
    for (const auto& [field, name] : choices)
      if (word && *word == name) return field;
    return std::nullopt;
  }
  Value value(Enum field) const {
    for (const auto& [choice, name] : choices)
      if (choice == field) return name;
    return std::string();
  }
};

struct Boolean {
  std::string allowed() const { return "true or false"; }
  std::optional<bool> parse(const Value& value) const {
    const auto* boolean = std::get_if<bool>(&value);
    return boolean ? std::optional(*boolean) : std::nullopt;
  }
  Value value(bool field) const { return field; }
};

struct Text {
  std::string allowed() const { return "a string"; }
  std::optional<std::string> parse(const Value& value) const {
    const auto* text = std::get_if<std::string>(&value);
    return text ? std::optional(*text) : std::nullopt;
  }
  Value value(const std::string& field) const { return field; }
};

struct DistinctNames {
  std::string allowed() const { return "a list of different, non-empty strings"; }
  std::optional<std::vector<std::string>> parse(const Value& value) const {
    const auto* names = std::get_if<std::vector<std::string>>(&value);
    if (!names || std::ranges::find(*names, "") != names->end()) return std::nullopt;
    if (std::set<std::string>(names->begin(), names->end()).size() != names->size()) return std::nullopt;
    return *names;
  }
  Value value(const std::vector<std::string>& field) const { return field; }
};

}  // namespace visage::config
