// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.jvirtio.spec.SplitRing;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The decision of the event index against its definition, entry by entry. */
class EventIndexTest {
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 255, 256, 257, 16384, 32767, 32768})
  void anEventIsDueWhenItsEntryIsInTheBatch(int batch) {
    for (int before : new int[] {0, 1, 2, 255, 32767, 32768, 65279, 65533, 65534, 65535}) {
      boolean[] written = new boolean[1 << 16];
      for (int i = 0; i < batch; i++) {
        written[(before + i) & 0xffff] = true;
      }
      int after = (before + batch) & 0xffff;
      for (int event = 0; event < 1 << 16; event++) {
        assertEquals(written[event], SplitRing.needEvent(event, after, before));
      }
    }
  }
}
