// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Other programs. */
final class Commands {
  private Commands() {}

  /**
   * Runs a program to its end; what it says on standard error is shown as it comes.
   *
   * @return its standard output
   * @throws IOException when it cannot be started, or its exit code is not 0
   */
  static String run(List<String> command) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int code = process.waitFor();
    if (code != 0) {
      throw new IOException(
          String.join(" ", command) + " ended with exit code " + code + ": " + output.strip());
    }
    return output;
  }
}
