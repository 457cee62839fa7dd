// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.IOException;

/** QEMU understood a request and refused it. The session goes on. */
public final class QtestException extends IOException {
  private static final long serialVersionUID = 1;

  QtestException(String message) {
    super(message);
  }
}
