// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import java.io.IOException;

/** An image cannot be served. The message says which and why, for whoever gave its name. */
public final class ImageException extends IOException {
  private static final long serialVersionUID = 1L;

  /** An image that cannot be served. */
  public ImageException(String message) {
    super(message);
  }

  /** An image that cannot be served because a system call failed. */
  public ImageException(String message, Throwable cause) {
    super(message, cause);
  }
}
