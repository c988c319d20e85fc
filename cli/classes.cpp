#include "cli/classes.h"

#include "cli/suggest.h"
#include "tensor/error.h"

#include <algorithm>
#include <sstream>

namespace visage::cli {
namespace {

// As many as fit in a message.
std::string first_names(std::span<const std::string> names) {
  constexpr std::size_t kMost = 10;
  std::string text;
  for (const std::string& name : names.first(std::min(kMost, names.size()))) text += (text.empty() ? "" : ", ") + name;
  return names.size() > kMost ? text + ", ..." : text;
}

}  // namespace

std::vector<std::int64_t> chosen_classes(const std::string& list, std::span<const annotation::Category> categories) {
  std::vector<std::int64_t> ids;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    const auto with = [&](const auto& name_of) {
      return std::find_if(categories.begin(), categories.end(),
                          [&](const annotation::Category& category) { return name_of(category) == word; });
    };
    auto found = with([](const annotation::Category& category) { return category.name; });
    if (found == categories.end())
      found = with([](const annotation::Category& category) { return std::to_string(category.id); });
    if (found == categories.end()) {
      std::vector<std::string> names;
      for (const annotation::Category& category : categories) names.push_back(category.name);
      const std::string near = nearest(word, names);
      fail<UsageError>("", "--classes: there is no class \"", word, "\"",
                       near.empty() ? "; the classes are " + first_names(names) : "; did you mean " + near);
    }
    ids.push_back(found->id);
  }
  return ids;
}

}  // namespace visage::cli
