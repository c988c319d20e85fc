#include "cli/classes.h"

#include "cli/suggest.h"
#include "tensor/error.h"

#include <algorithm>
#include <sstream>

namespace visage::cli {

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
                       near.empty() ? "; give names or ids, separated by commas" : "; did you mean " + near);
    }
    ids.push_back(found->id);
  }
  return ids;
}

}  // namespace visage::cli
