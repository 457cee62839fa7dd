// SPDX-License-Identifier: Apache-2.0

/**
 * The devices of a QEMU as a driver in Java reaches them: by the lines of QEMU's qtest socket for
 * registers (QEMU, docs/devel/testing/qtest), by a mapping of the file that is the machine's RAM
 * for queues and buffers. x86 machines only: pc and q35 (PCI), microvm (virtio-mmio).
 *
 * <p>{@link io.jvirtio.qtest.QtestMachine} finds the devices and opens them as a {@link
 * io.jvirtio.transport.pci.PciAccess} or a {@link io.jvirtio.transport.mmio.MmioAccess}; {@link
 * io.jvirtio.qtest.QtestSession} is the protocol alone.
 */
package io.jvirtio.qtest;
