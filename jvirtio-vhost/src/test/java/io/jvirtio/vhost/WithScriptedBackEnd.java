// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A scripted back-end and what drives it; afterwards no descriptor is left. */
abstract class WithScriptedBackEnd {
  @TempDir Path directory;
  List<String> before;
  ScriptedBackEnd backEnd;
  Driving driving;

  @BeforeEach
  void make() throws IOException {
    // So that what is opened lazily is open.
    try (ScriptedBackEnd first = new ScriptedBackEnd(directory.resolve("first"))) {
      first.start();
      VhostUserTransport.connect(directory.resolve("first"), 42, options()).close();
    }
    before = Await.descriptors();
    backEnd = new ScriptedBackEnd(directory.resolve("s"));
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    if (driving != null) {
      driving.close();
    }
    backEnd.close();
    Await.descriptors(before);
  }

  static VhostUserFrontEndOptions options() {
    return VhostUserFrontEndOptions.defaults().withReplyDeadline(Duration.ofSeconds(20));
  }

  void connect(VhostUserFrontEndOptions options) throws IOException {
    driving = new Driving(VhostUserTransport.connect(directory.resolve("s"), 42, options));
  }
}
