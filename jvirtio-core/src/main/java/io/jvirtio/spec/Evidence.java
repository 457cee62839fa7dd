// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.ArrayList;
import java.util.List;

/** What speaks for and against one device type, in points. Not thread-safe. */
final class Evidence {
  private final List<String> reasons = new ArrayList<>();
  private int score;

  /** Counts points, negative ones against the type. A reason without points stays untold. */
  void add(int points, String reason) {
    if (points != 0) {
      score += points;
      reasons.add(reason);
    }
  }

  int score() {
    return score;
  }

  List<String> reasons() {
    return List.copyOf(reasons);
  }
}
