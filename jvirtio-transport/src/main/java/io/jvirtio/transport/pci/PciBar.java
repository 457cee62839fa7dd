// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.RegisterWindow;

/**
 * A base address register of a function with what is behind it.
 *
 * @param index 0 to 5; a 64-bit one takes the next as well
 * @param io whether it is in I/O space, else in memory space
 * @param wide whether its address has 64 bits
 * @param prefetchable whether reads have no side effects
 * @param window the registers; its size is a power of two
 */
public record PciBar(
    int index, boolean io, boolean wide, boolean prefetchable, RegisterWindow window) {}
