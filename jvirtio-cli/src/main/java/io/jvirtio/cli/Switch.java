// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

/** On or off, as the value of an option. */
public enum Switch {
  /** Yes. */
  ON,
  /** No. */
  OFF
}
