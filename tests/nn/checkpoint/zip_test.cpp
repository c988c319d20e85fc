#include "nn/checkpoint/zip.h"

#include "nn/checkpoint/parse.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>
#include <zlib.h>

namespace visage::nn {
namespace {

using test::message_of;
using testing::HasSubstr;

std::string number(std::uint64_t value, int bytes) {
  std::string result;
  for (; bytes > 0; --bytes, value >>= 8) result += static_cast<char>(value & 0xff);
  return result;
}

template <class... Parts>
std::string join(const Parts&... parts) {
  std::string result;
  ((result += parts), ...);
  return result;
}

/// A zip of one record, with the fields that a test may want to be wrong.
struct OneRecord {
  std::string name = "archive/data.pkl", local_name = name, data = "0123456789";
  std::uint64_t method = 0, flags = 0, size = data.size(), stored = data.size(), offset = 0;
  std::string extra;  // of the directory entry
  bool zip64_end = false;

  std::string directory_entry() const {
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
    return join("PK\x01\x02", number(20, 2), number(20, 2), number(flags, 2), number(method, 2), number(0, 4),
                number(crc, 4), number(stored, 4), number(size, 4), number(name.size(), 2), number(extra.size(), 2),
                number(0, 2), number(0, 8), number(offset, 4), name, extra);
  }
  std::string str(int copies = 1) const {
    std::string zip = join("PK\x03\x04", number(20, 2), number(flags, 2), number(method, 2), number(0, 4),
                           number(0, 12), number(local_name.size(), 2), number(0, 2), local_name, data);
    const std::size_t begin = zip.size();
    for (int i = 0; i < copies; ++i) zip += directory_entry();
    const std::size_t bytes = zip.size() - begin, end = zip.size();
    if (zip64_end)
      zip += join("PK\x06\x06", number(44, 8), number(0, 4), number(0, 8), number(1, 8), number(1, 8), number(bytes, 8),
                  number(begin, 8), "PK\x06\x07", number(0, 4), number(end, 8), number(1, 4));
    const std::uint64_t mask = zip64_end ? 0xffffffff : 0;
    return join(zip, "PK\x05\x06", number(0, 4), number(copies | mask, 2), number(copies | mask, 2),
                number(bytes | mask, 4), number(begin | mask, 4), number(0, 2));
  }
};

ZipRecord read(const std::string& content) { return ZipArchive(file_bytes("some.pth", content)).records().at(0); }
std::string refusal(const std::string& content) {
  return message_of<CheckpointError>([&] { read(content); });
}

TEST(Zip, PlainAndZip64DirectoriesAreRead) {
  OneRecord zip;
  EXPECT_EQ(read(zip.str()).size, 10u);
  zip.zip64_end = true;
  EXPECT_EQ(read(zip.str()).size, 10u);
  const std::size_t begin = read(zip.str()).begin;
  zip.size = zip.stored = zip.offset = 0xffffffff;
  zip.extra =
      join(number(7, 2), number(1, 2), "x", number(1, 2), number(24, 2), number(10, 8), number(10, 8), number(0, 8));
  const FileBytes file = file_bytes("some.pth", zip.str());
  const ZipArchive archive(file);
  ASSERT_TRUE(archive.find("archive/data.pkl"));
  EXPECT_EQ(archive.find("archive/data.pkl")->size, 10u);
  EXPECT_EQ(archive.find("archive/data.pkl")->begin, begin);
  EXPECT_NO_THROW(archive.check_crc(archive.records()[0]));
  EXPECT_EQ(archive.find("archive/version"), nullptr);
}

TEST(Zip, WhatDoesNotFitIsRefused) {
  OneRecord zip;
  zip.method = 8;
  EXPECT_THAT(refusal(zip.str()), HasSubstr("'archive/data.pkl' is compressed"));
  zip = {};
  zip.flags = 1;
  EXPECT_THAT(refusal(zip.str()), HasSubstr("encrypted"));
  zip = {};
  zip.size = 11;
  EXPECT_THAT(refusal(zip.str()), HasSubstr("inconsistent sizes"));
  zip = {};
  zip.size = zip.stored = 1000;
  EXPECT_THAT(refusal(zip.str()), HasSubstr("outside the file"));
  zip = {};
  zip.offset = 1;
  EXPECT_THAT(refusal(zip.str()), HasSubstr("outside the file"));
  zip = {};
  zip.size = zip.stored = 0xffffffff;  // and no zip64 field
  EXPECT_THAT(refusal(zip.str()), HasSubstr("inconsistent sizes"));
  zip = {};
  zip.local_name = "archive/data.PKL";
  EXPECT_THAT(refusal(zip.str()), HasSubstr("outside the file or is damaged"));
  EXPECT_THAT(refusal(OneRecord{}.str(2)), HasSubstr("occurs twice"));
  EXPECT_THAT(refusal("PK\x03\x04"), HasSubstr("truncated"));
}

TEST(Zip, OverlappingRecordsAreRefused) {
  // The second record's header lies in the data of the first.
  OneRecord inner;
  inner.name = inner.local_name = "b";
  const std::string header =
      join("PK\x03\x04", number(20, 2), number(0, 8), number(0, 12), number(1, 2), number(0, 2), "b");
  OneRecord outer;
  outer.data = join(header, inner.data);
  outer.size = outer.stored = outer.data.size();
  inner.offset = 30 + outer.name.size();
  const std::string zip = outer.str();
  const std::size_t directory = zip.find("PK\x01\x02"), end = zip.find("PK\x05\x06");
  const std::string entries = join(outer.directory_entry(), inner.directory_entry());
  const std::string both = join(zip.substr(0, directory), entries, "PK\x05\x06", number(0, 4), number(2, 2),
                                number(2, 2), number(entries.size(), 4), number(directory, 4), number(0, 2));
  ASSERT_LT(directory, end);
  EXPECT_THAT(refusal(both), HasSubstr("overlaps"));
}

TEST(Zip, ArchivesOfOtherThingsAreNamed) {
  OneRecord zip;
  zip.name = zip.local_name = "word/document.xml";
  EXPECT_THAT(message_of<CheckpointError>([&] { parse_checkpoint(file_bytes("some.docx", zip.str())); }),
              HasSubstr("holds no data.pkl"));
}

}  // namespace
}  // namespace visage::nn
