// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.linux.LinuxException;
import java.io.IOException;

/** A server understood a command and refused it. The connection goes on. */
public final class VfioUserRefusal extends IOException {
  private static final long serialVersionUID = 1;

  private final int errno;

  VfioUserRefusal(VfioUserCommand command, int errno) {
    super(
        "the server refuses "
            + command
            + ": "
            + new LinuxException("vfio-user", errno).getMessage());
    this.errno = errno;
  }

  /** Why, as the server says: whatever number it sent. */
  public int errno() {
    return errno;
  }
}
