// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import org.junit.jupiter.api.Test;

class ErrnoTest {
  @Test
  void everyConstantHasItsNameInTheTable() throws IllegalAccessException {
    int constants = 0;
    for (Field field : Errno.class.getDeclaredFields()) {
      if (Modifier.isPublic(field.getModifiers())) {
        assertEquals(field.getName(), Errno.name(field.getInt(null)));
        constants++;
      }
    }
    assertEquals(33, constants);
  }

  @Test
  void textIsThatOfStrerror() {
    assertEquals("No such file or directory", Errno.text(Errno.ENOENT));
    assertEquals("Operation not possible due to RF-kill", Errno.text(132));
  }

  @Test
  void unknownNumbersHaveNamesToo() {
    assertEquals("errno 0", Errno.name(0));
    assertEquals("errno 41", Errno.name(41));
    assertEquals("errno -1", Errno.name(-1));
    assertEquals("Unknown error 4096", Errno.text(4096));
  }

  @Test
  void exceptionSaysCallSubjectNumberAndDetail() {
    LinuxException e = new LinuxException("bind", "/run/a.sock", Errno.EADDRINUSE, "living");
    assertEquals("bind(/run/a.sock): EADDRINUSE, Address already in use: living", e.getMessage());
    assertEquals("bind", e.call());
    assertEquals(Errno.EADDRINUSE, e.errno());
    assertEquals("EADDRINUSE", e.errnoName());
    assertEquals("read: EIO, Input/output error", new LinuxException("read", 5).getMessage());
  }

  @Test
  void checkTurnsNegativeResultsIntoExceptions() throws LinuxException {
    assertEquals(7, LinuxException.check("read", 7));
    LinuxException e =
        assertThrows(LinuxException.class, () -> LinuxException.check("read", -Errno.ENOSPC));
    assertEquals(Errno.ENOSPC, e.errno());
  }
}
