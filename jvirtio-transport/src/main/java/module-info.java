// SPDX-License-Identifier: Apache-2.0

/** Transports that need no system call: a driver and its device in one process. */
module io.jvirtio.transport {
  requires transitive io.jvirtio.core;

  exports io.jvirtio.transport;
  exports io.jvirtio.transport.inprocess;
  exports io.jvirtio.transport.mmio;
  exports io.jvirtio.transport.pci;
}
