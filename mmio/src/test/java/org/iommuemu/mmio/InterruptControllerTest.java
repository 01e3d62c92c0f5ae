package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class InterruptControllerTest {
    private final InterruptController interrupts = new InterruptController();
    private final List<String> ran = new ArrayList<>();

    private Runnable note(String what) {
        return () -> ran.add(what);
    }

    @Test
    void anEdgeStaysPendingUntilSomebodyRequestsIt() {
        interrupts.raise(5);
        assertEquals(0, interrupts.dispatch());
        assertTrue(interrupts.isPending(5));
        interrupts.request(5, note("five"));
        assertEquals(1, interrupts.dispatch());
        assertFalse(interrupts.isPending(5));
        assertEquals(0, interrupts.dispatch());
        assertEquals(List.of("five"), ran);
    }

    @Test
    void edgesBeforeADispatchAreOneInterrupt() {
        interrupts.request(5, note("five"));
        InterruptController.Line line = interrupts.line(5);
        assertEquals(5, line.number());
        line.pulse();
        line.pulse();
        interrupts.raise(5);
        assertEquals(1, interrupts.dispatch());
    }

    @Test
    void aLevelIsPendingWhileItsLineIsHigh() {
        InterruptController.Line line = interrupts.line(3);
        line.set(true);
        assertTrue(interrupts.isPending(3));
        line.set(false);
        assertFalse(interrupts.isPending(3));
        interrupts.request(3, note("three"));
        assertEquals(0, interrupts.dispatch());
        line.set(true);
        interrupts.request(3, () -> line.set(false));
        assertEquals(1, interrupts.dispatch());
        assertEquals(List.of("three"), ran);
    }

    @Test
    void aLevelThatTheHandlerLeavesHighIsHandledAgain() {
        InterruptController.Line line = interrupts.line(3);
        AtomicInteger left = new AtomicInteger(4);
        interrupts.request(3, () -> line.set(left.decrementAndGet() > 0));
        line.set(true);
        assertEquals(4, interrupts.dispatch());
    }

    @Test
    void aSharedLevelIsTheOrOfItsLines() {
        InterruptController.Line first = interrupts.line(9);
        InterruptController.Line second = interrupts.line(9);
        first.set(true);
        second.set(true);
        second.set(true);
        first.set(false);
        first.set(false);
        assertTrue(interrupts.isPending(9));
        second.set(false);
        assertFalse(interrupts.isPending(9));
    }

    @Test
    void allHandlersOfASharedNumberRun() {
        Runnable first = note("first");
        interrupts.request(9, first);
        interrupts.request(9, note("second"));
        interrupts.raise(9);
        interrupts.dispatch();
        interrupts.release(9, first);
        interrupts.release(10, first);
        interrupts.raise(9);
        interrupts.dispatch();
        assertEquals(List.of("first", "second", "second"), ran);
    }

    @Test
    void aReleasedInterruptStaysPending() {
        Runnable handler = note("x");
        interrupts.request(9, handler);
        interrupts.release(9, handler);
        interrupts.raise(9);
        assertEquals(0, interrupts.dispatch());
        assertTrue(interrupts.isPending(9));
        assertFalse(interrupts.isPending(8));
    }

    @Test
    void interruptsAreHandledInTheOrderInWhichTheyBecamePending() {
        for (int number : new int[] {1, 2, 3}) {
            interrupts.request(number, note("" + number));
        }
        interrupts.raise(3);
        interrupts.line(1).set(false);
        interrupts.raise(1);
        interrupts.raise(2);
        interrupts.raise(3);
        assertEquals(3, interrupts.dispatch());
        assertEquals(List.of("3", "1", "2"), ran);
    }

    @Test
    void aHandlerMayRaiseOthersAndTheyRunInTheSameDispatchAfterIt() {
        interrupts.request(1, () -> {
            interrupts.raise(2);
            ran.add("1");
        });
        interrupts.request(2, note("2"));
        interrupts.raise(1);
        assertEquals(2, interrupts.dispatch());
        assertEquals(List.of("1", "2"), ran);
    }

    @Test
    void anEdgeDuringItsOwnHandlerIsHandledOnceMore() {
        AtomicInteger runs = new AtomicInteger();
        interrupts.request(1, () -> {
            if (runs.incrementAndGet() == 1) {
                interrupts.raise(1);
            }
        });
        interrupts.raise(1);
        assertEquals(2, interrupts.dispatch());
    }

    @Test
    void aStormEnds() {
        InterruptController.Line line = interrupts.line(4);
        AtomicInteger runs = new AtomicInteger();
        interrupts.request(4, runs::incrementAndGet);
        interrupts.request(5, note("five"));
        line.set(true);
        interrupts.raise(5);
        assertEquals(InterruptController.STORM_LIMIT + 1, interrupts.dispatch());
        assertEquals(InterruptController.STORM_LIMIT, runs.get());
        assertEquals(List.of("five"), ran, "a storm does not keep others from running");
        assertTrue(interrupts.isPending(4));
    }

    @Test
    void noEdgeOfAnyThreadIsLost() {
        AtomicInteger sent = new AtomicInteger();
        AtomicInteger seen = new AtomicInteger();
        interrupts.request(1, () -> seen.set(sent.get()));
        Threads.run(3, n -> {
            for (int i = 0; i < 5_000; i++) {
                if (n == 0) {
                    interrupts.dispatch();
                } else {
                    sent.incrementAndGet();
                    interrupts.raise(1);
                }
            }
        });
        interrupts.dispatch();
        assertEquals(10_000, seen.get());
    }

    @Test
    void aWriteToTheDoorbellRaisesTheInterruptThatItNames() {
        PhysicalMemory memory = new PhysicalMemory();
        Bus bus = new Bus(memory);
        bus.attach("/msi", 0x2000, MsiFrame.SIZE, new MsiFrame(interrupts));
        bus.write32(0x2040, 70);
        assertTrue(bus.dmaWrite(0x2040, new byte[] {71, 0, 0, 0}, 0, 4));
        bus.write32(0x2044, 72);
        assertTrue(interrupts.isPending(70));
        assertTrue(interrupts.isPending(71));
        assertFalse(interrupts.isPending(72));
        assertEquals(0, bus.read32(0x2040));
        assertThrows(BusError.class, () -> bus.write(0x2040, 2, 70));
        assertFalse(bus.dmaWrite(0x2040, new byte[8], 0, 8), "a doorbell takes 32 bits");
    }

    @Test
    void aLevelThatAStormLeftHighIsHandledByTheNextDispatch() {
        InterruptController.Line line = interrupts.line(4);
        AtomicInteger runs = new AtomicInteger();
        interrupts.request(4, () -> line.set(runs.incrementAndGet() < InterruptController.STORM_LIMIT + 5));
        line.set(true);
        assertEquals(InterruptController.STORM_LIMIT, interrupts.dispatch());
        assertEquals(5, interrupts.dispatch());
    }

    @Test
    void aHandlerThatRaisesItsOwnInterruptForeverIsAStormToo() {
        interrupts.request(4, () -> interrupts.raise(4));
        interrupts.raise(4);
        assertTimeoutPreemptively(
                Duration.ofSeconds(10), () -> assertEquals(InterruptController.STORM_LIMIT, interrupts.dispatch()));
        assertTrue(interrupts.isPending(4));
    }

    @Test
    void aHandlerThatThrowsLosesNoInterrupt() {
        InterruptController.Line line = interrupts.line(4);
        AtomicInteger runs = new AtomicInteger();
        interrupts.request(4, () -> {
            if (runs.incrementAndGet() == 1) {
                throw new IllegalStateException("a driver's bug");
            }
            line.set(false);
        });
        line.set(true);
        assertThrows(IllegalStateException.class, interrupts::dispatch);
        assertEquals(1, interrupts.dispatch());
    }

    @Test
    void listenersSeeTheOrOfLinesAndEdgesAsRiseAndFall() {
        List<String> seen = new ArrayList<>();
        interrupts.addListener((number, level) -> seen.add(number + (level ? "+" : "-")));
        InterruptController.Line one = interrupts.line(4);
        InterruptController.Line other = interrupts.line(4);
        one.set(true);
        other.set(true);
        interrupts.raise(4);
        one.set(false);
        other.set(false);
        other.pulse();
        interrupts.raise(5);
        assertEquals(List.of("4+", "4-", "4+", "4-", "5+", "5-"), seen);
    }
}
