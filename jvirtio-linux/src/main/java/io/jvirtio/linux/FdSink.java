// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** Takes the descriptors that arrive on a socket. */
@FunctionalInterface
public interface FdSink {
  /**
   * Takes over one descriptor; from now on the sink closes it.
   *
   * @param fd open, with FD_CLOEXEC set
   */
  void accept(Fd fd);
}
