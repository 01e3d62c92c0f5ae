package org.iommuemu.harness.cli;

import java.io.PrintWriter;
import java.util.List;
import picocli.CommandLine.Help.Ansi;

/** Rows in columns, the first of them the heading. */
final class TextTable {
    private final PrintWriter out;
    private final Ansi ansi;

    TextTable(PrintWriter out, Ansi ansi) {
        this.out = out;
        this.ansi = ansi;
    }

    /** @param good for each row but the heading, whether it is as it should be */
    void print(List<List<String>> rows, List<Boolean> good) {
        int columns = rows.get(0).size();
        int[] width = new int[columns];
        for (List<String> row : rows) {
            for (int i = 0; i < columns; i++) {
                width[i] = Math.max(width[i], row.get(i).length());
            }
        }
        out.println();
        for (int r = 0; r < rows.size(); r++) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < columns; i++) {
                String cell = rows.get(r).get(i);
                line.append(cell);
                if (i < columns - 1) {
                    line.append(" ".repeat(width[i] - cell.length() + 2));
                }
            }
            out.println(ConsoleLog.styled(
                    ansi,
                    r == 0 ? "bold,underline" : good.get(r - 1) ? null : "red",
                    line.toString().stripTrailing()));
        }
    }
}
