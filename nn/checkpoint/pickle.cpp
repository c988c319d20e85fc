#include "nn/checkpoint/pickle.h"

#include <bit>

namespace visage::nn::pickle {
namespace {

// A training state of a large model has about 10^5 objects; these bounds keep a hostile file below 1 GB of memory.
constexpr std::size_t kMostObjects = std::size_t{1} << 20;
constexpr std::size_t kMostOpcodes = std::size_t{1} << 22;
constexpr int kNewestProtocol = 5;

enum Opcode : int {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinBytes8 = 0x8e,
  kByteArray8 = 0x96,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kList = 'l',
  kAppend = 'a',
  kAppends = 'e',
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kEmptyDict = '}',
  kDict = 'd',
  kSetItem = 's',
  kSetItems = 'u',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kProto = 0x80,
  kFrame = 0x95,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kNewObj = 0x81,
  kBinPersId = 'Q',
};

}  // namespace

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items)
    if (const auto* text = std::get_if<Text>(&name); text && text->value == key) return &value;
  return nullptr;
}

Reader::Reader(const FileBytes& file, std::size_t begin, std::size_t end) : file_(file), at_(begin), end_(end) {}

Value Reader::read() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    const int opcode = static_cast<int>(number(1));
    if (opcode == kStop) break;
    require(++opcodes_ <= kMostOpcodes, "has too many operations for a weight file");
    const bool known = push_scalar(opcode) || push_text(opcode) || build_sequence(opcode) || build_mapping(opcode) ||
                       use_memo(opcode) || use_constructor(opcode);
    if (!known) refuse("operation " + std::to_string(opcode) + " is not one a weight file needs (damaged?)");
  }
  require(stack_.size() == 1 && marks_.empty(), "ends with an unbalanced stack (damaged?)");
  return pop();
}

void Reader::refuse(const std::string& reason) const {
  fail<CheckpointError>("", file_.path, ": pickle at byte ", at_, ": ", reason,
                        "; download the file again, or convert it to safetensors where it was made");
}

void Reader::require(bool ok, const char* reason) const {
  if (!ok) [[unlikely]]
    refuse(reason);
}

std::string_view Reader::take(std::uint64_t bytes) {
  require(bytes <= end_ - at_, "ends too early (truncated?)");
  const std::string_view result = file_.text().substr(at_, bytes);
  at_ += bytes;
  return result;
}

std::string_view Reader::line() {
  const auto length = file_.text().substr(at_, end_ - at_).find('\n');
  require(length != std::string_view::npos, "ends too early (truncated?)");
  return take(length + 1).substr(0, length);
}

Value Reader::pop() {
  require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "takes a value that is not there (damaged?)");
  Value value = stack_.back();
  stack_.pop_back();
  return value;
}

const Value& Reader::top() const {
  require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "takes a value that is not there (damaged?)");
  return stack_.back();
}

std::vector<Value> Reader::pop_many(std::size_t count) {
  require(stack_.size() - (marks_.empty() ? 0 : marks_.back()) >= count, "takes a value that is not there (damaged?)");
  std::vector<Value> result(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return result;
}

std::vector<Value> Reader::pop_to_mark() {
  require(!marks_.empty(), "takes a mark that is not there (damaged?)");
  std::vector<Value> result = pop_many(stack_.size() - marks_.back());
  marks_.pop_back();
  return result;
}

void Reader::count_object() { require(++objects_ <= kMostObjects, "has too many objects for a weight file"); }

bool Reader::push_scalar(int opcode) {
  switch (opcode) {
    case kNone: push(None{}); return true;
    case kNewTrue: push(true); return true;
    case kNewFalse: push(false); return true;
    case kBinInt: push(std::int64_t{static_cast<std::int32_t>(number(4))}); return true;
    case kBinInt1: push(static_cast<std::int64_t>(number(1))); return true;
    case kBinInt2: push(static_cast<std::int64_t>(number(2))); return true;
    case kLong1: push_integer(take(number(1))); return true;
    case kLong4: push_integer(take(number(4))); return true;
    case kBinFloat: push(std::bit_cast<double>(__builtin_bswap64(number(8)))); return true;
    default: return false;
  }
}

bool Reader::push_text(int opcode) {
  switch (opcode) {
    case kBinString: push(python2_string(take(number(4)))); return true;
    case kShortBinString: push(python2_string(take(number(1)))); return true;
    case kBinUnicode: push(text(take(number(4)))); return true;
    case kShortBinUnicode: push(text(take(number(1)))); return true;
    case kBinUnicode8: push(text(take(number(8)))); return true;
    case kBinBytes: push(Bytes{take(number(4))}); return true;
    case kShortBinBytes: push(Bytes{take(number(1))}); return true;
    case kBinBytes8:
    case kByteArray8: push(Bytes{take(number(8))}); return true;
    default: return false;
  }
}

bool Reader::build_sequence(int opcode) {
  switch (opcode) {
    case kMark: marks_.push_back(stack_.size()); return true;
    case kPop: pop(); return true;
    case kPopMark: pop_to_mark(); return true;
    case kDup: push(Value(top())); return true;
    case kEmptyTuple: push_tuple({}); return true;
    case kTuple: push_tuple(pop_to_mark()); return true;
    case kTuple1: push_tuple(pop_many(1)); return true;
    case kTuple2: push_tuple(pop_many(2)); return true;
    case kTuple3: push_tuple(pop_many(3)); return true;
    case kEmptyList: push(make(arena_.lists)); return true;
    case kList: {
      auto items = pop_to_mark();
      List* list = make(arena_.lists);
      list->items = std::move(items);
      push(list);
      return true;
    }
    case kAppend: {
      auto items = pop_many(1);
      append(top(), std::move(items));
      return true;
    }
    case kAppends:
    case kAddItems: {
      auto items = pop_to_mark();
      append(top(), std::move(items));
      return true;
    }
    default: return false;
  }
}

bool Reader::build_mapping(int opcode) {
  switch (opcode) {
    case kEmptySet: push(make(arena_.sets)); return true;
    case kFrozenSet: {
      auto items = pop_to_mark();
      Set* set = make(arena_.sets);
      set->items = std::move(items);
      push(set);
      return true;
    }
    case kEmptyDict: push(make(arena_.dicts)); return true;
    case kDict: {
      const auto items = pop_to_mark();
      push(make(arena_.dicts));
      set_items(top(), items);
      return true;
    }
    case kSetItem: {
      const auto items = pop_many(2);
      set_items(top(), items);
      return true;
    }
    case kSetItems: {
      const auto items = pop_to_mark();
      set_items(top(), items);
      return true;
    }
    default: return false;
  }
}

bool Reader::use_memo(int opcode) {
  switch (opcode) {
    case kBinGet: recall(number(1)); return true;
    case kLongBinGet: recall(number(4)); return true;
    case kBinPut: memoize(number(1)); return true;
    case kLongBinPut: memoize(number(4)); return true;
    case kMemoize: memoize(memo_.size()); return true;
    default: return false;
  }
}

bool Reader::use_constructor(int opcode) {
  switch (opcode) {
    case kProto: require(number(1) <= kNewestProtocol, "is of an unknown protocol"); return true;
    case kFrame: {
      const std::uint64_t length = number(8);
      require(length <= end_ - at_, "ends too early (truncated?)");
      return true;
    }
    case kGlobal: {
      const std::string_view module = line();
      push_constructor(module, line());
      return true;
    }
    case kStackGlobal: {
      const auto names = pop_many(2);
      const auto *module = std::get_if<Text>(&names[0]), *name = std::get_if<Text>(&names[1]);
      require(module && name, "names a constructor by something else than text");
      push_constructor(module->value, name->value);
      return true;
    }
    case kReduce:
    case kNewObj: {
      const auto call_of = pop_many(2);
      const auto* constructor = std::get_if<const Constructor*>(&call_of[0]);
      const auto* arguments = std::get_if<Tuple*>(&call_of[1]);
      require(constructor && arguments, "calls something that is not a constructor");
      push(call(**constructor, **arguments));
      return true;
    }
    case kBuild: {
      const Value state = pop();
      set_state(top(), state);
      return true;
    }
    case kBinPersId: push(load_persistent(pop())); return true;
    default: return false;
  }
}

Value Reader::text(std::string_view bytes) const {
  require(is_utf8(bytes), "text is not valid UTF-8");
  return Text{bytes};
}

// Python 2 did not tell text from data; an array's bytes may come as a string.
Value Reader::python2_string(std::string_view bytes) {
  if (is_utf8(bytes)) return Text{bytes, true};
  return Bytes{bytes};
}

void Reader::push_tuple(std::vector<Value> items) {
  Tuple* tuple = make(arena_.tuples);
  tuple->items = std::move(items);
  push(tuple);
}

void Reader::append(const Value& target, std::vector<Value> items) {
  std::vector<Value>* into = nullptr;
  if (const auto* list = std::get_if<List*>(&target)) into = &(*list)->items;
  if (const auto* set = std::get_if<Set*>(&target)) into = &(*set)->items;
  require(into != nullptr, "appends to something that is not a list");
  into->insert(into->end(), items.begin(), items.end());
}

void Reader::set_items(const Value& target, const std::vector<Value>& items) {
  const auto* dict = std::get_if<Dict*>(&target);
  require(dict && items.size() % 2 == 0, "sets items of something that is not a dictionary");
  for (std::size_t i = 0; i < items.size(); i += 2) (*dict)->items.emplace_back(items[i], items[i + 1]);
}

void Reader::memoize(std::uint64_t index) {
  require(index < kMostObjects, "remembers too many objects for a weight file");
  if (index >= memo_.size()) memo_.resize(index + 1);
  memo_[index] = top();
}

void Reader::recall(std::uint64_t index) {
  require(index < memo_.size() && memo_[index].index() != 0, "recalls an object it never made (damaged?)");
  push(memo_[index]);
}

void Reader::push_integer(std::string_view bytes) {
  if (bytes.size() > sizeof(std::int64_t)) return push(BigInteger{bytes});
  if (bytes.empty()) return push(std::int64_t{0});
  const int size = static_cast<int>(bytes.size());
  const std::uint64_t value = little_endian(reinterpret_cast<const std::uint8_t*>(bytes.data()), size);
  const int unused = 64 - 8 * size;
  push(static_cast<std::int64_t>(value << unused) >> unused);
}

void Reader::push_constructor(std::string_view module, std::string_view name) {
  const Constructor* constructor = find_constructor(module, name);
  check<CheckpointError>(constructor != nullptr, "", file_.path, ": pickle at byte ", at_, ": wants ",
                         printable(std::string(module) + "." + std::string(name)),
                         ", which is not on the list of constructors that weights need; nothing was run. Do not load "
                         "this file elsewhere unless you trust it, or convert it to safetensors where it was made");
  push(constructor);
}

}  // namespace visage::nn::pickle
