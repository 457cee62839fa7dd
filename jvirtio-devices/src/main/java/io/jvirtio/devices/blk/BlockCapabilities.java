// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

/**
 * What a back end can do beyond reading, writing and flushing.
 *
 * @param discard whether ranges can be given up
 * @param writeZeroes whether ranges can be made to read as zeroes
 * @param mayUnmap whether writing zeroes can deallocate, when it is allowed to
 * @param secureErase whether ranges can be erased beyond recovery
 */
public record BlockCapabilities(
    boolean discard, boolean writeZeroes, boolean mayUnmap, boolean secureErase) {
  /** Nothing beyond reading, writing and flushing. */
  public static final BlockCapabilities NONE = new BlockCapabilities(false, false, false, false);
}
