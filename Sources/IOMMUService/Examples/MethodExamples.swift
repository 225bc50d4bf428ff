import JSONRPC

/// One call of each method at least, for `rpc.discover`: a conversation of one client with the laboratory, in order.
///
/// A test has it. What differs from run to run, or is too long to be shown whole, is named there. `device.export`,
/// `fd.export` and `fd.offer` need the kernel's own IOMMUs, `state.discard` a state that is damaged.
package enum MethodExamples {
    /// The whole conversation.
    package static let all = memory + devices + tables + processes + models
}
