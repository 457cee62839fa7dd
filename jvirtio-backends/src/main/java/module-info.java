// SPDX-License-Identifier: Apache-2.0

/** Resources of the host behind devices: image files and block devices. */
module io.jvirtio.backends {
  requires transitive io.jvirtio.devices;
  requires io.jvirtio.linux;

  exports io.jvirtio.backends;
}
