// SPDX-License-Identifier: Apache-2.0

/** Drivers of device types, one package each. They see a device by the core's driver model only. */
module io.jvirtio.drivers {
  requires transitive io.jvirtio.core;

  exports io.jvirtio.drivers.blk;
  exports io.jvirtio.drivers.rng;
}
