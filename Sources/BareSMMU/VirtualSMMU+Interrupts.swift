import CLinux
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUv3

extension VirtualSMMU {
    /// Signals an eventfd at each interrupt; nil stops.
    ///
    /// - Throws: `EINVAL` for what is no eventfd, `EAGAIN` or `EMFILE` where the daemon could not signal it.
    func setSignal(_ interrupt: Interrupt, _ descriptor: consuming Descriptor?) throws(IOMMUError) {
        guard let descriptor else { return signals[interrupt] = nil }
        try Self.checkSignal(descriptor)
        signals[interrupt] = SharedDescriptor(descriptor)
    }

    /// Whether an eventfd is signalled at this interrupt.
    func hasSignal(_ interrupt: Interrupt) -> Bool { signals[interrupt] != nil }

    /// Eventfds that are signalled.
    var signalCount: Int { signals.count }

    private static func checkSignal(_ descriptor: borrowing Descriptor) throws(IOMMUError) {
        guard linkTarget(ofDescriptor: descriptor.number) == "anon_inode:[eventfd]" else {
            throw IOMMUError(
                .EINVAL, .notAnEventfd, "the descriptor is not an eventfd",
                hint: "make one with eventfd(2)")
        }
        try requireSignals()
    }

    /// Later nobody could be told. - Throws: `EMFILE`, `EAGAIN`.
    static func requireSignals() throws(IOMMUError) {
        switch -clinux_prepare_signals() {
        case 0: return
        case Glibc.EMFILE, Glibc.ENFILE:
            throw .noDescriptors
        default:
            throw IOMMUError(
                .EAGAIN, .noSignals, "the system gives the daemon no asynchronous I/O to signal eventfds with",
                hint: "raise fs.aio-max-nr, or look at the interrupt registers instead")
        }
    }

    func deliver() {
        guard !pending.isEmpty else { return }
        let raised = pending
        pending = []
        for interrupt in raised {
            guard let descriptor = signals[interrupt] else { continue }
            // What it takes is there since the descriptor was accepted. A counter that overflows stays readable:
            // nothing is lost but the count.
            _ = clinux_signal_eventfd(descriptor.number)
        }
    }
}
