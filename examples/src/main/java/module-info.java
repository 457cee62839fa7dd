// SPDX-License-Identifier: Apache-2.0

/** Complete devices, and users of drivers, in a few lines. */
module io.jvirtio.examples {
  requires io.jvirtio.core;
  requires io.jvirtio.drivers;
  requires io.jvirtio.linux;
  requires io.jvirtio.vhost;

  exports io.jvirtio.examples;
}
