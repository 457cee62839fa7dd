// SPDX-License-Identifier: Apache-2.0

/** Drivers' access to the devices of a QEMU through its qtest socket. */
module io.jvirtio.qtest {
  requires io.jvirtio.linux;
  requires transitive io.jvirtio.core;
  requires transitive io.jvirtio.transport;

  exports io.jvirtio.qtest;
}
