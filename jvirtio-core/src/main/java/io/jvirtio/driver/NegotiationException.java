// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

import java.io.IOException;

/** Driver and device found no set of features that both can work with. */
public final class NegotiationException extends IOException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message names the features and says who refused
   */
  public NegotiationException(String message) {
    super(message);
  }
}
