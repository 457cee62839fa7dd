// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.io.IOException;

/**
 * The back-end understood a request and refused it: by a non-zero acknowledgement (REPLY_ACK) or by
 * an empty reply (GET_CONFIG). The connection goes on.
 */
final class RequestRefusedException extends IOException {
  private static final long serialVersionUID = 1L;

  RequestRefusedException(String message) {
    super(message);
  }
}
