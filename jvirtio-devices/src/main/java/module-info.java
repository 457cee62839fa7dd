// SPDX-License-Identifier: Apache-2.0

/** Device types, one package each. Pure Java: what they need of the host comes in by interfaces. */
module io.jvirtio.devices {
  requires transitive io.jvirtio.core;

  exports io.jvirtio.devices.blk;
}
