// SPDX-License-Identifier: Apache-2.0

/** Complete devices in a few lines. */
module io.jvirtio.examples {
  requires io.jvirtio.core;

  exports io.jvirtio.examples;
}
