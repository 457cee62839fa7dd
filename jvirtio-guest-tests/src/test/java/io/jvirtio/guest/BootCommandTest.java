// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code ./jvirtio boot} as a user starts it; it checks both sides itself. */
class BootCommandTest {
  @ParameterizedTest
  @CsvSource({
    "'--packed=on', '\"packed\":true', '\"notificationsReceived\":'",
    "'--bus=pci --profile=legacy --irq=intx', '\"packed\":false', '\"registerAccesses\":'",
    "'--bus=pci --packed=on --queues=2', '\"packed\":true', '\"interrupts\":'",
  })
  void guestReadsAndWrites(String options, String packed, String count) throws Exception {
    String command = Lab.home().resolve("jvirtio") + " boot --json " + options;
    String output = Host.run(command.split(" "));
    assertTrue(output.contains("the guest's file is in the image"), output);
    assertTrue(output.contains("\"ok\":true"), output);
    assertTrue(output.contains(packed), output);
    assertTrue(output.contains(count), output);
    assertTrue(output.contains("\"failedRequests\":0"), output);
  }
}
