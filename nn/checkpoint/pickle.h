#pragma once
#include "nn/checkpoint/file_bytes.h"
#include "nn/checkpoint/pickle_value.h"

namespace visage::nn::pickle {

/// A reader of Python pickles (protocols 2 to 5) that runs nothing. Opcodes only build plain data; the names a pickle
/// may use are the fixed list in pickle_constructors.cpp, and everything else is refused by its name.
/// Work and memory are bounded by a constant times the size of the pickle.
/// Format: Python's Lib/pickletools.py.
class Reader {
 public:
  /// Reads from file bytes [begin, end). Values point into the file and into this reader.
  Reader(const FileBytes& file, std::size_t begin, std::size_t end);

  /// The next pickle; afterwards position() is the byte behind its STOP. throws CheckpointError.
  Value read();
  std::size_t position() const { return at_; }
  /// Everything that was built so far.
  const Arena& arena() const { return arena_; }

 private:
  [[noreturn]] void refuse(const std::string& reason) const;
  void require(bool ok, const char* reason) const;

  std::string_view take(std::uint64_t bytes);
  std::uint64_t number(int bytes) {
    return little_endian(reinterpret_cast<const std::uint8_t*>(take(bytes).data()), bytes);
  }
  std::string_view line();

  void push(Value value) { stack_.push_back(std::move(value)); }
  Value pop();
  const Value& top() const;
  std::vector<Value> pop_to_mark();
  std::vector<Value> pop_many(std::size_t count);
  template <class T>
  T* make(std::deque<T>& pool) {
    count_object();
    return &pool.emplace_back();
  }
  void count_object();

  bool push_scalar(int opcode);
  bool push_text(int opcode);
  bool build_sequence(int opcode);
  bool build_mapping(int opcode);
  bool use_memo(int opcode);
  bool use_constructor(int opcode);

  Value text(std::string_view bytes) const;
  static Value python2_string(std::string_view bytes);
  void push_tuple(std::vector<Value> items);
  void append(const Value& target, std::vector<Value> items);
  void set_items(const Value& target, const std::vector<Value>& items);
  void memoize(std::uint64_t index);
  void recall(std::uint64_t index);
  void push_integer(std::string_view bytes);
  void push_constructor(std::string_view module, std::string_view name);

  // pickle_constructors.cpp
  Value call(const Constructor& constructor, const Tuple& arguments);
  Value call_torch(const Constructor& constructor, const Tuple& arguments);
  Value call_numpy(const Constructor& constructor, const Tuple& arguments);
  Value load_persistent(const Value& id);
  Value rebuild_tensor(const Tuple& arguments);
  Value make_dtype(const Tuple& arguments);
  Value make_scalar(const Tuple& arguments);
  Value encode_latin1(const Tuple& arguments);
  void set_state(const Value& target, const Value& state);
  void set_dtype_state(NumpyDType& dtype, const Value& state) const;
  void set_array_state(Array& array, const Value& state) const;

  FileBytes file_;
  std::size_t at_, end_;
  std::size_t objects_ = 0, opcodes_ = 0, encoded_bytes_ = 0;
  std::vector<Value> stack_, memo_;
  std::vector<std::size_t> marks_;
  Arena arena_;
};

}  // namespace visage::nn::pickle
