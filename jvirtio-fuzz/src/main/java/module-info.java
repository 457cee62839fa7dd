// SPDX-License-Identifier: Apache-2.0

/** Fuzz targets; never shipped. */
module io.jvirtio.fuzz {
  requires io.jvirtio.devices;
  requires io.jvirtio.testkit;
  requires io.jvirtio.vfio;
  requires io.jvirtio.vhost;
  requires java.logging;

  exports io.jvirtio.fuzz;
}
