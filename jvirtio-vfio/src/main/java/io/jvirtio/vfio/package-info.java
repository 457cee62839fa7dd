// SPDX-License-Identifier: Apache-2.0

/**
 * The vfio-user protocol ("vfio-user Protocol Specification", QEMU's docs/interop/vfio-user): a
 * whole PCI function in this process, which a client plugs into its machine; and access to the
 * function of any such server, for a driver in this process.
 *
 * <p>{@link io.jvirtio.vfio.VfioUserServer} accepts clients; a {@code VfioUserSession} serves one
 * of them; {@link io.jvirtio.vfio.VfioUserCodec} turns bytes into checked messages and has no side
 * effect. A {@code DmaTable} is the memory of the client, {@code ClientInterrupts} are its
 * eventfds.
 *
 * <p>Where the client shares no memory, the device works in {@code Mirrors} of it: a {@code
 * MirroredQueue} for each queue, and a {@code DmaChannel} to read and write the client's memory by
 * commands. That is slow: clients had better share their memory.
 *
 * <p>{@link io.jvirtio.vfio.VfioUserAccess} is the client, over a {@code ServerLink}, with memory
 * in {@code SharedDma} and interrupts from an {@code EventThread}.
 */
package io.jvirtio.vfio;
