#include "visage/annotation/category_map.h"

#include "tensor/error.h"

#include <algorithm>
#include <utility>

namespace visage::annotation {
namespace {

constexpr std::string_view kYtvis2019Names[] = {
    "person",    "giant_panda", "lizard",    "parrot",   "skateboard", "sedan",   "ape",          "dog",
    "snake",     "monkey",      "hand",      "rabbit",   "duck",       "cat",     "cow",          "fish",
    "train",     "horse",       "turtle",    "bear",     "motorbike",  "giraffe", "leopard",      "fox",
    "deer",      "owl",         "surfboard", "airplane", "truck",      "zebra",   "tiger",        "elephant",
    "snowboard", "boat",        "shark",     "mouse",    "frog",       "eagle",   "earless_seal", "tennis_racket"};
constexpr std::string_view kYtvis2021Names[] = {
    "airplane",    "bear",          "bird",         "boat",     "car",        "cat",         "cow",       "deer",
    "dog",         "duck",          "earless_seal", "elephant", "fish",       "flying_disc", "fox",       "frog",
    "giant_panda", "giraffe",       "horse",        "leopard",  "lizard",     "monkey",      "motorbike", "mouse",
    "parrot",      "person",        "rabbit",       "shark",    "skateboard", "snake",       "snowboard", "squirrel",
    "surfboard",   "tennis_racket", "tiger",        "train",    "truck",      "turtle",      "whale",     "zebra"};
constexpr std::string_view kOvisNames[] = {
    "Person", "Bird",    "Cat",     "Dog",         "Horse",    "Sheep",  "Cow",    "Elephant", "Bear",
    "Zebra",  "Giraffe", "Poultry", "Giant_panda", "Lizard",   "Parrot", "Monkey", "Rabbit",   "Tiger",
    "Fish",   "Turtle",  "Bicycle", "Motorcycle",  "Airplane", "Boat",   "Vehical"};

std::vector<Category> numbered(std::span<const std::string_view> names) {
  std::vector<Category> categories;
  for (const std::string_view name : names)
    categories.push_back(
        {.id = static_cast<int64_t>(categories.size()) + 1, .name = std::string(name), .supercategory = {}});
  return categories;
}

using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

const Pairs kYtvis2019 = {{"person", "person"},
                          {"bicycle", "motorbike"},
                          {"car", "sedan"},
                          {"motorcycle", "motorbike"},
                          {"airplane", "airplane"},
                          {"train", "train"},
                          {"truck", "truck"},
                          {"boat", "boat"},
                          {"cat", "cat"},
                          {"dog", "dog"},
                          {"horse", "horse"},
                          {"cow", "cow"},
                          {"elephant", "elephant"},
                          {"bear", "bear"},
                          {"zebra", "zebra"},
                          {"giraffe", "giraffe"},
                          {"skis", "snowboard"},
                          {"snowboard", "snowboard"},
                          {"skateboard", "skateboard"},
                          {"surfboard", "surfboard"},
                          {"tennis racket", "tennis_racket"}};
const Pairs kYtvis2021 = {{"person", "person"},
                          {"bicycle", "motorbike"},
                          {"car", "car"},
                          {"motorcycle", "motorbike"},
                          {"airplane", "airplane"},
                          {"train", "train"},
                          {"truck", "truck"},
                          {"boat", "boat"},
                          {"bird", "bird"},
                          {"cat", "cat"},
                          {"dog", "dog"},
                          {"horse", "horse"},
                          {"cow", "cow"},
                          {"elephant", "elephant"},
                          {"bear", "bear"},
                          {"zebra", "zebra"},
                          {"giraffe", "giraffe"},
                          {"frisbee", "flying_disc"},
                          {"skis", "snowboard"},
                          {"snowboard", "snowboard"},
                          {"skateboard", "skateboard"},
                          {"surfboard", "surfboard"},
                          {"tennis racket", "tennis_racket"}};
const Pairs kOvis = {
    {"person", "Person"},     {"bicycle", "Bicycle"},   {"car", "Vehical"},   {"motorcycle", "Motorcycle"},
    {"airplane", "Airplane"}, {"bus", "Vehical"},       {"truck", "Vehical"}, {"boat", "Boat"},
    {"cat", "Cat"},           {"dog", "Dog"},           {"horse", "Horse"},   {"sheep", "Sheep"},
    {"cow", "Cow"},           {"elephant", "Elephant"}, {"bear", "Bear"},     {"zebra", "Zebra"},
    {"giraffe", "Giraffe"}};

int64_t find(std::span<const Category> classes, std::string_view name) {
  const auto found = std::find_if(classes.begin(), classes.end(), [&](const auto& c) { return c.name == name; });
  return found == classes.end() ? -1 : found - classes.begin();
}

int64_t require(std::span<const Category> classes, std::string_view name, std::string_view mapping) {
  const int64_t label = find(classes, name);
  check<InputError>(label >= 0, "", "category mapping ", mapping, ": a data set has no class \"", name,
                    "\"; check that the mapping is the one for these data sets");
  return label;
}

}  // namespace

std::vector<Category> official_categories(std::string_view data_set) {
  if (data_set == "ytvis_2019") return numbered(kYtvis2019Names);
  if (data_set == "ytvis_2021") return numbered(kYtvis2021Names);
  if (data_set == "ovis") return numbered(kOvisNames);
  fail<UsageError>("no official classes of \"", data_set, "\"; there are ytvis_2019, ytvis_2021 and ovis");
}

std::vector<int64_t> label_map(std::string_view mapping, std::span<const Category> from, std::span<const Category> to) {
  std::vector<int64_t> labels(from.size(), -1);
  if (mapping == "name") {
    for (size_t i = 0; i < from.size(); ++i) labels[i] = find(to, from[i].name);
    check<InputError>(std::any_of(labels.begin(), labels.end(), [](int64_t l) { return l >= 0; }),
                      "category mapping name: the data sets share no class");
    return labels;
  }
  const Pairs* const table = mapping == "coco_to_ytvis_2019"   ? &kYtvis2019
                             : mapping == "coco_to_ytvis_2021" ? &kYtvis2021
                             : mapping == "coco_to_ovis"       ? &kOvis
                                                               : nullptr;
  check<UsageError>(table != nullptr, "unknown category mapping \"", mapping,
                    "\"; there are name, coco_to_ytvis_2019, coco_to_ytvis_2021 and coco_to_ovis");
  for (const auto& [source, target] : *table) {
    const int64_t label = require(from, source, mapping);
    labels[label] = require(to, target, mapping);
  }
  return labels;
}

}  // namespace visage::annotation
