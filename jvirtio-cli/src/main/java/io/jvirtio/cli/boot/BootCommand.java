// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** Boots a Linux guest on a disk that this process serves. */
@Command(name = "boot", description = "Boot a Linux guest on a disk served from here.")
public final class BootCommand implements Callable<Integer> {
  /** For picocli. */
  public BootCommand() {}

  @Override
  public Integer call() {
    return 0;
  }
}
