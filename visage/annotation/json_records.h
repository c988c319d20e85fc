#pragma once
#include "tensor/error.h"
#include "visage/annotation/category.h"
#include "visage/annotation/polygon.h"
#include "visage/annotation/rle.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Internal to visage/annotation: annotation files are long lists of small records, so they are read record by record
// and never held whole.
namespace visage::annotation {

/// JSON text and the name that messages call it by.
struct JsonText {
  std::string name;
  std::string_view text;
};

/// Whole content of a regular file. Throws InputError when it cannot be read.
[[nodiscard]] std::string read_text(const std::string& path);

/// Where the errors of single records go: thrown, or into a list, so that reading goes on with the next record.
class RecordErrors {
 public:
  explicit RecordErrors(std::vector<std::string>* list) : list_(list) {}
  /// Runs fn(); whether it went through. Throws what fn throws when there is no list.
  template <class F>
  bool run(F&& fn) const {
    if (!list_) {
      fn();
      return true;
    }
    try {
      fn();
    } catch (const InputError& error) {
      list_->push_back(error.what());
      return false;
    }
    return true;
  }

 private:
  std::vector<std::string>* list_;
};

/// The value of "id" when it is an integer, for records that could not be read.
[[nodiscard]] std::optional<int64_t> id_of(const nlohmann::json& record);

/// Receives one element of a list. `where` is "name: list[index]".
using RecordHandler = std::function<void(const nlohmann::json& record, const std::string& where)>;

/// A list under a key of the root object.
struct Section {
  enum class Presence { absent, null, list };
  const char* key;
  RecordHandler handle;
  Presence presence = Presence::absent;
};

/// Reads an object of lists of objects; keys that are no section are skipped. Throws InputError for text that is no
/// JSON, a root that is no object, a section that is neither a list nor null or appears twice, an element that is no
/// object, and nesting deeper than any format here needs. Errors of handlers pass through.
void read_sections(const JsonText& json, std::vector<Section>& sections);

/// Reads a list of objects.
void read_list(const JsonText& json, const RecordHandler& handle);

/// Checked access to the fields of one record. Every error is an InputError "where (id N): rule; what stands there".
class Fields {
 public:
  /// Throws unless `record` has an integer `id_key`; messages carry it from then on.
  static Fields with_id(const nlohmann::json& record, const std::string& where, const char* id_key = "id");
  Fields(const nlohmann::json& record, std::string where) : record_(record), where_(std::move(where)) {}

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] bool has(const char* key) const;
  [[nodiscard]] int64_t integer(const char* key) const;
  /// At least 1 and at most kMaxPixels.
  [[nodiscard]] int64_t size(const char* key) const;
  [[nodiscard]] double finite(const char* key) const;
  [[nodiscard]] std::string string(const char* key) const;
  /// 0, 1, false or true.
  [[nodiscard]] bool flag(const char* key) const;
  [[nodiscard]] const nlohmann::json& list(const char* key) const;
  [[nodiscard]] const nlohmann::json& at(const char* key) const;

 private:
  const nlohmann::json& record_;
  std::string where_;
};

/// Height and width of a video or an image, checked to be a size masks can have.
struct FrameSize {
  int64_t height = 0, width = 0;
};
[[nodiscard]] FrameSize frame_size(const Fields& fields);

/// Appends one entry of "categories" and its id. Throws InputError for a duplicate id or a missing name.
void add_category(const nlohmann::json& record, const std::string& where, std::vector<Category>& categories,
                  IdIndex& index);

/// [x, y, width, height], or nothing for null and an empty list.
[[nodiscard]] std::optional<Box> to_box(const nlohmann::json& value, const std::string& where);

/// Non-negative number, or nothing for null.
[[nodiscard]] std::optional<double> to_area(const nlohmann::json& value, const std::string& where);

/// A relative path that stays below the image root.
[[nodiscard]] std::string to_file_name(const nlohmann::json& value, const std::string& where);

/// A mask as it stands in a file: nothing (null), run lengths, or polygons, whose size the record does not say.
struct Segmentation {
  std::optional<Rle> rle;
  std::vector<Polygon> polygons;
  [[nodiscard]] bool empty() const { return !rle && polygons.empty(); }
};

/// Reads null, {"size", "counts"} with a list or a compressed string, or a list of rings. Rings of an odd length or
/// fewer than six numbers are dropped with a warning, as the official training loaders do.
[[nodiscard]] Segmentation to_segmentation(const nlohmann::json& value, const std::string& where,
                                           std::vector<std::string>& warnings);

/// Throws InputError when a mask has another size than its frame.
void check_mask_size(const Rle& rle, const FrameSize& size, const std::string& where);

/// The mask at the size of its frame. Throws InputError when run lengths have another size.
[[nodiscard]] std::optional<Rle> to_mask(Segmentation segmentation, const FrameSize& size, const std::string& where);

}  // namespace visage::annotation
