// SPDX-License-Identifier: Apache-2.0

/**
 * A driver of the entropy device (virtio 1.4, Device Types / Entropy Device): the smallest whole
 * driver, for a start.
 */
package io.jvirtio.drivers.rng;
