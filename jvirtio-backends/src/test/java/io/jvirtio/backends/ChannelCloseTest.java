// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileOptions.Engine;
import io.jvirtio.device.InlineOwner;
import io.jvirtio.devices.blk.BlockChannel;
import io.jvirtio.devices.blk.BlockRequest;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Channels by themselves: their bound, and their end while requests are under way. */
class ChannelCloseTest {
  @TempDir(factory = TargetFolder.class)
  Path folder;

  private static final class Request extends BlockRequest {
    private int completed;

    @Override
    public void completed(int result) {
      assertEquals(OK, result);
      completed++;
    }
  }

  @ParameterizedTest
  @EnumSource(Engine.class)
  void aFullChannelRefusesMore(Engine engine) throws IOException {
    Path path = ImageDriver.sparse(folder, 1 << 20);
    try (RawFileBackend backend = RawFileBackend.open(ImageDriver.options(path, engine, false));
        BlockChannel channel = backend.openChannel(new InlineOwner(), 2)) {
      Request request = new Request();
      channel.flush(request);
      assertTrue(channel.hasRoom());
      channel.flush(new Request());
      assertFalse(channel.hasRoom());
      assertThrows(IllegalStateException.class, () -> channel.flush(new Request()));
      channel.submit();
      while (request.completed == 0) {
        channel.poll();
      }
      assertTrue(channel.hasRoom());
    }
  }

  @ParameterizedTest
  @EnumSource(Engine.class)
  void closeWaitsForWhatIsUnderWay(Engine engine) throws IOException {
    Path path = ImageDriver.sparse(folder, 1 << 20);
    Request[] requests = new Request[16];
    try (RawFileBackend backend = RawFileBackend.open(ImageDriver.options(path, engine, false))) {
      for (int round = 0; round < 20; round++) {
        try (BlockChannel channel = backend.openChannel(new InlineOwner(), 16)) {
          for (int i = 0; i < requests.length; i++) {
            requests[i] = new Request();
            channel.flush(requests[i]);
          }
          channel.submit();
        }
        for (Request request : requests) {
          assertEquals(0, request.completed, "nothing completes once the channel is closed");
        }
      }
    }
  }
}
