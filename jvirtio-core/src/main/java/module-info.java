// SPDX-License-Identifier: Apache-2.0

/**
 * Virtio without a transport and without a native call: specification, memory, queues, device
 * model.
 */
module io.jvirtio.core {
  requires jdk.jfr;

  exports io.jvirtio.spec;
  exports io.jvirtio.memory;
  exports io.jvirtio.queue;
  exports io.jvirtio.device;
  exports io.jvirtio.driver;
  exports io.jvirtio.trace;
  // Absolute addresses give up the protection of arenas: only the house's own modules see them.
  exports io.jvirtio.raw to
      io.jvirtio.linux,
      io.jvirtio.bench;

  uses io.jvirtio.raw.AddressSpace;
}
