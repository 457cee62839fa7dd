// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.raw.RawMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MappingTest {
  @Test
  void twoMappingsOfOneFileShareIt() throws LinuxException {
    try (Fd fd = Memfd.create("shared", 3 * 65536);
        Mapping whole = Mapping.shared(fd, 0, 3 * 65536);
        Mapping part = Mapping.shared(fd, 70_001, 100)) {
      RawMemory.putLongUnaligned(part.address(), 0x1122334455667788L);
      assertEquals(0x1122334455667788L, RawMemory.getLongUnaligned(whole.address() + 70_001));
      assertEquals(100, part.size());
      assertEquals(100, part.segment().byteSize());
      assertEquals(part.address(), part.segment().address());
    }
  }

  @Test
  void itOutlivesItsDescriptorAndLeavesNothing() throws IOException {
    OpenFds before = OpenFds.now();
    Fd fd = Memfd.create("outlive-me", 8192);
    Mapping mapping = Mapping.shared(fd, 0, 8192);
    fd.close();
    RawMemory.putInt(mapping.address() + 8188, 5);
    assertEquals(5, RawMemory.getInt(mapping.address() + 8188));
    assertTrue(maps().contains("outlive-me"));
    mapping.close();
    mapping.close();
    assertFalse(maps().contains("outlive-me"));
    before.assertUnchanged();
  }

  private static String maps() throws IOException {
    return Files.readString(Path.of("/proc/self/maps"));
  }

  @ParameterizedTest
  @CsvSource({"0,8193", "8192,1", "8000,193", "1000000,1", "1,9223372036854775806"})
  void whatLiesPastTheEndIsRefused(long offset, long size) throws IOException {
    try (Fd fd = Memfd.create("short", 8192)) {
      String maps = maps();
      LinuxException e = assertThrows(LinuxException.class, () -> Mapping.shared(fd, offset, size));
      assertEquals(Errno.EINVAL, e.errno());
      assertTrue(e.getMessage().contains("past the end"), e.getMessage());
      assertEquals(maps.contains("memfd:short"), maps().contains("memfd:short"));
    }
  }

  @ParameterizedTest
  @CsvSource({"-1,1", "0,0", "0,-1", "1,9223372036854775807", "9223372036854775807,1"})
  void rangesThatAreNoneAreRefused(long offset, long size) throws LinuxException {
    try (Fd fd = Memfd.create("range", 8192)) {
      assertThrows(IllegalArgumentException.class, () -> Mapping.shared(fd, offset, size));
    }
  }

  @Test
  void onlyFilesCanBeMapped() throws LinuxException {
    try (EventFd event = EventFd.create();
        RawFile directory = RawFile.open(Path.of("/"), OpenFlag.READ_ONLY);
        RawFile device = RawFile.open(Path.of("/dev/zero"), OpenFlag.READ_WRITE)) {
      for (Fd fd : new Fd[] {event.fd(), directory.fd(), device.fd()}) {
        LinuxException e = assertThrows(LinuxException.class, () -> Mapping.shared(fd, 0, 1));
        assertEquals(Errno.ENODEV, e.errno());
      }
    }
  }

  @Test
  void aFileOpenForReadingIsMappedReadOnly(@TempDir Path directory) throws IOException {
    Path path = Files.write(directory.resolve("file"), new byte[] {7, 8, 9});
    try (RawFile file = RawFile.open(path, OpenFlag.READ_ONLY)) {
      LinuxException e = assertThrows(LinuxException.class, () -> Mapping.shared(file.fd(), 0, 3));
      assertEquals(Errno.EACCES, e.errno());
      try (Mapping mapping = Mapping.shared(file.fd(), 1, 2, MapOption.READ_ONLY)) {
        assertEquals(8, RawMemory.getByte(mapping.address()));
        assertFalse(mapping.isSealedAgainstShrinking());
      }
    }
  }

  @Test
  void sealsAreReported() throws LinuxException {
    try (Fd open = Memfd.create("open", 10, Seal.GROW);
        Fd sealed = Memfd.create("sealed", 10, Seal.SHRINK, Seal.SEAL);
        Mapping a = Mapping.shared(open, 0, 10);
        Mapping b = Mapping.shared(sealed, 0, 10)) {
      assertFalse(a.isSealedAgainstShrinking());
      assertTrue(b.isSealedAgainstShrinking());
      assertEquals(Set.of(Seal.GROW), Memfd.seals(open));
      assertEquals(EnumSet.of(Seal.SHRINK, Seal.SEAL), Memfd.seals(sealed));
      LinuxException e = assertThrows(LinuxException.class, () -> Memfd.resize(sealed, 1));
      assertEquals(Errno.EPERM, e.errno());
    }
  }

  @Test
  void memoryIsLeftOutOfCoreFiles() throws IOException {
    try (Fd fd = Memfd.create("undumped", 65536);
        Mapping mapping = Mapping.shared(fd, 0, 65536, MapOption.DONT_DUMP)) {
      assertEquals(65536, mapping.size());
      String entry = Files.readString(Path.of("/proc/self/smaps")).split("undumped")[1];
      String flags = entry.lines().filter(l -> l.startsWith("VmFlags:")).findFirst().orElseThrow();
      assertTrue(flags.contains(" dd"), flags);
    }
  }

  @Test
  void truncationUnderAMappingIsAnErrorThatCanBeCaught() throws LinuxException {
    try (Truncated truncated = new Truncated();
        EventFd event = EventFd.create()) {
      long address = truncated.mapping.address();
      assertThrows(InternalError.class, () -> RawMemory.getLong(address));
      assertThrows(InternalError.class, () -> RawMemory.putLong(address + 8, 1));
      assertThrows(InternalError.class, () -> RawMemory.copy(address, address + 4096, 4096));
      // System calls see it as an error number.
      assertEquals(-Errno.EFAULT, Libc.call(SystemCall.WRITE, event.fd().value(), address, 8));
      // And when the file has grown again the memory is good again.
      Memfd.resize(truncated.fd, 1 << 16);
      assertEquals(0, RawMemory.getLong(address));
    }
  }
}
