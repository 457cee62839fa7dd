// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/**
 * The descriptors of this process by what they are, to show that none leaks. Those of the virtual
 * machine itself, such as jars, come and go and are left out.
 */
final class OpenFds {
  private final Map<Integer, String> open;

  private OpenFds(Map<Integer, String> open) {
    this.open = open;
  }

  static OpenFds now() throws IOException {
    Map<Integer, String> open = new TreeMap<>();
    try (DirectoryStream<Path> fds = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
      for (Path fd : fds) {
        try {
          String target = Files.readSymbolicLink(fd).toString();
          if (!target.matches("/proc/.*|/dev/u?random|.*\\.jar|.*/modules|pipe:.*")) {
            open.put(Integer.parseInt(fd.getFileName().toString()), target);
          }
        } catch (NoSuchFileException e) {
          continue; // Closed since it was listed: not open now.
        }
      }
    }
    return new OpenFds(open);
  }

  int count() {
    return open.size();
  }

  /** Fails when other descriptors are open than then. */
  void assertUnchanged() throws IOException {
    assertEquals(open, now().open);
  }
}
