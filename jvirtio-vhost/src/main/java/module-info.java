// SPDX-License-Identifier: Apache-2.0

/** vhost-user: devices of this process for front-ends such as QEMU, and drivers for back-ends. */
module io.jvirtio.vhost {
  requires transitive io.jvirtio.core;
  requires transitive io.jvirtio.linux;

  exports io.jvirtio.vhost;
}
