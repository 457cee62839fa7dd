// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class SizesTest {
  @ParameterizedTest
  @CsvSource({
    "0, 0",
    "4096, 4096",
    "64K, 65536",
    "64kB, 65536",
    "256M, 268435456",
    "1GiB, 1073741824",
    "3t, 3298534883328",
    "8388607T, 9223370937343148032",
  })
  void readsSizes(String text, long bytes) {
    assertEquals(bytes, new Sizes().convert(text));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "x", "-1", "1.5G", "1 G", "1X", "G", "8388608T", "9999999999999999999"})
  void refusesWhatIsNone(String text) {
    assertThrows(TypeConversionException.class, () -> new Sizes().convert(text));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0 B",
    "1023, 1023 B",
    "1024, 1 KiB",
    "1536, 1.5 KiB",
    "10239, 10 KiB",
    "1048575, 1 MiB",
    "268435456, 256 MiB",
    "5497558138880, 5 TiB",
    "9223372036854775807, 8388608 TiB",
  })
  void writesSizes(long bytes, String text) {
    assertEquals(text, Sizes.text(bytes));
  }
}
