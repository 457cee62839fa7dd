// SPDX-License-Identifier: Apache-2.0

/** vfio-user: PCI functions of this process for clients such as QEMU. */
module io.jvirtio.vfio {
  requires transitive io.jvirtio.core;
  requires transitive io.jvirtio.linux;
  requires transitive io.jvirtio.transport;

  exports io.jvirtio.vfio;
}
