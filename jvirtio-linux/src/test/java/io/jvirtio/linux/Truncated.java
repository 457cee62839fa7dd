// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.raw.RawMemory;

/** A mapping whose file was truncated: what a careless or hostile peer can do at any moment. */
final class Truncated implements AutoCloseable {
  final Fd fd;
  final Mapping mapping;

  Truncated() throws LinuxException {
    fd = Memfd.create("truncated", 1 << 16);
    mapping = Mapping.shared(fd, 0, 1 << 16);
    RawMemory.putLong(mapping.address(), 1);
    Memfd.resize(fd, 0);
  }

  @Override
  public void close() {
    mapping.close();
    fd.close();
  }
}
