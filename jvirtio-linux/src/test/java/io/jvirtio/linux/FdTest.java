// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import org.junit.jupiter.api.Test;

class FdTest {
  @Test
  void closeIsIdempotentAndLeavesNothing() throws IOException {
    OpenFds before = OpenFds.now();
    Fd fd = Memfd.create("fd", 1);
    assertEquals(before.count() + 1, OpenFds.now().count());
    assertTrue(fd.isOpen());
    assertEquals("descriptor " + fd.value(), fd.toString());
    fd.close();
    fd.close();
    assertFalse(fd.isOpen());
    assertEquals(-1, fd.value());
    assertEquals("closed descriptor", fd.toString());
    before.assertUnchanged();
  }

  @Test
  void aClosedDescriptorFailsWithEbadf() throws LinuxException {
    Fd fd = Memfd.create("fd", 1);
    fd.close();
    assertEquals(Errno.EBADF, assertThrows(LinuxException.class, () -> FileStatus.of(fd)).errno());
    assertEquals(Errno.EBADF, assertThrows(LinuxException.class, fd::duplicate).errno());
  }

  @Test
  void closingWhatSomebodyElseClosedIsABug() throws LinuxException {
    Fd fd = Memfd.create("fd", 1);
    Fd alias = new Fd(fd.value());
    fd.close();
    assertThrows(IllegalStateException.class, alias::close);
  }

  @Test
  void duplicateIsIndependent() throws LinuxException {
    Fd fd = Memfd.create("fd", 77);
    try (Fd copy = fd.duplicate()) {
      assertNotEquals(fd.value(), copy.value());
      fd.close();
      assertEquals(77, FileStatus.of(copy).size());
    }
  }

  @Test
  void negativeNumbersAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Fd(-1));
  }
}
