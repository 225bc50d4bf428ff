import Logging
import Systemd

/// The log messages that have a `MESSAGE_ID`, so that programs can wait for them and `journalctl -x` can explain them.
/// The explanations are in `systemd/iommud.catalog`.
package enum LogMessage: CaseIterable, Sendable {
    /// The daemon answers on its socket.
    case ready
    /// The daemon is stopping.
    case stopping
    /// The configuration cannot be used.
    case configurationRejected
    /// The configuration was read again.
    case configurationReloaded
    /// A client took a device.
    case deviceBound
    /// A device was given back, by its owner or because the session that had it ended.
    case deviceUnbound
    /// A request was refused.
    case requestRefused
    /// A client was turned away or dropped.
    case clientDropped
    /// A passed descriptor was of no use.
    case descriptorsDropped
    /// An SMMU has recorded an event of a device.
    case deviceFault
    /// Entries were left out that said the same again and again.
    case entriesLeftOut
    /// A named session is not as it was before the daemon was started again.
    case stateLost

    /// The identity of the message; never changes.
    package var id: MessageID {
        switch self {
        case .ready: MessageID(0x5b91_38da_964c_46d7, 0x9106_ce96_75e7_f9bb)
        case .stopping: MessageID(0xf453_a0d1_90de_4a9d, 0xb6e0_007f_08ff_3b4a)
        case .configurationRejected: MessageID(0x234a_566f_ea73_4049, 0xb5f3_3e6f_5456_31c6)
        case .configurationReloaded: MessageID(0x9d90_99f1_230e_426d, 0xba06_8347_2248_96e1)
        case .deviceBound: MessageID(0xb525_8bbc_fc86_4c60, 0x8772_53e5_7532_cebc)
        case .deviceUnbound: MessageID(0xa004_e230_622e_4312, 0xb9a2_fdca_6da9_bb8f)
        case .requestRefused: MessageID(0x51dc_408f_aacc_43e2, 0xba77_3820_fa42_293f)
        case .clientDropped: MessageID(0x0d5e_9b35_afdd_45e2, 0x8709_4291_f8e0_a40b)
        case .descriptorsDropped: MessageID(0x9d47_d40b_72f2_400f, 0xad12_f731_1273_5ac4)
        case .deviceFault: MessageID(0x83ae_5c17_d94f_4b06, 0xb2f1_6d0e_48a7_95c3)
        case .entriesLeftOut: MessageID(0x3f1c_7a52_90be_4d18, 0x8e64_d1b7_05c9_2fa3)
        case .stateLost: MessageID(0x6c02_e4d9_13b7_4f85, 0xa1d8_5b60_972c_4e3f)
        }
    }
}

extension Logger {
    /// Logs a message that has an identity.
    ///
    /// - Parameters:
    ///   - kind: which message; sets `MESSAGE_ID`.
    ///   - level: its severity.
    ///   - text: one sentence for a person.
    ///   - metadata: become fields, `session` → `IOMMUD_SESSION`.
    package func log(
        _ kind: LogMessage, level: Level, _ text: @autoclosure () -> Message,
        _ metadata: @autoclosure () -> Metadata = [:], file: String = #fileID, function: String = #function,
        line: UInt = #line
    ) {
        guard logLevel <= level else { return }
        var fields = metadata()
        fields["MESSAGE_ID"] = .string(kind.id.description)
        log(level: level, text(), metadata: fields, file: file, function: function, line: line)
    }
}
