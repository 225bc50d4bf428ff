import ArgumentParser

/// A command that talks to the daemon: on a connection of its own, or on that of a console.
protocol DaemonCommand: ParsableCommand {
    /// Where the daemon is, and how to show what it answers.
    var options: GlobalOptions { get }

    /// Does its work.
    func run(on daemon: Daemon) throws
}

extension DaemonCommand {
    func run() throws { try run(on: options.connect()) }
}
