// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JsonTest {
  @Test
  void writesEveryKindOfValue() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("a", 1);
    map.put("b", List.of(true, 1.5, "x"));
    map.put("c", null);
    map.put("d", Map.of());
    assertEquals("{\"a\":1,\"b\":[true,1.5,\"x\"],\"c\":null,\"d\":{}}", Json.of(map));
    assertEquals("[null,[]]", Json.of(Arrays.asList(null, List.of())));
  }

  @Test
  void escapesWhatJsonForbids() {
    assertEquals("\"a\\\"b\\\\c\\u000a\\u0000ü\"", Json.of("a\"b\\c\n\0ü"));
  }
}
