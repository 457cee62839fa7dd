// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.PciChoice;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.linux.LoopMode;
import java.nio.file.Path;

/**
 * What the user asked for.
 *
 * @param interactive the guest's shell instead of the demonstration
 * @param kernel a kernel of the user's, or null
 * @param initrd an initial RAM disk of the user's, or null
 * @param disk an image of the user's, or null
 * @param rings which features of the rings are offered
 * @param pci what kind of PCI device is served by vfio-user, or null to serve by vhost-user
 * @param queues how many queues, which are as many processors of the guest up to 8
 * @param mode how the device waits
 */
record BootOptions(
    boolean interactive,
    Path kernel,
    Path initrd,
    Path disk,
    RingChoice rings,
    PciChoice pci,
    int queues,
    LoopMode mode) {}
