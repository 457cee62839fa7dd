// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A test with a server and a client. Nothing stays open, and the next client is served. */
abstract class WithClient {
  @TempDir Path directory;
  Served served;
  Client client;
  private List<String> before;

  @BeforeEach
  void connect() throws IOException {
    served = new Served(directory);
    before = served.warmUp();
    client = served.connect();
  }

  @AfterEach
  void nothingIsLeft() throws IOException {
    client.close();
    try {
      Await.descriptors(before);
      served.serveOneMore();
      Await.descriptors(before);
    } finally {
      served.close();
    }
  }
}
