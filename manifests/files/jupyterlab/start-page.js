// An extension of JupyterLab's pages, in the form in which they load one, a container of module federation:
// https://webpack.js.org/concepts/module-federation. It is small enough to be written by hand.
// The start page is a card of the launcher, and stands in the palette of commands and in the menu Help.
(() => {
  const COMMAND = 'dsvm:start-page';
  let shared;

  // A module that the page itself has, whatever its version
  const take = async name => (await Object.values(shared[name])[0].get())();

  const extension = async () => {
    const [{ ILauncher }, { IMainMenu }, { ICommandPalette }, { PageConfig, URLExt }, { infoIcon }] = await Promise.all(
      ['launcher', 'mainmenu', 'apputils', 'coreutils', 'ui-components'].map(name => take(`@jupyterlab/${name}`))
    );
    return {
      id: 'dsvm-start-page:plugin',
      description: 'Opens the page that says what is in this image.',
      autoStart: true,
      optional: [ILauncher, IMainMenu, ICommandPalette],
      activate: (app, launcher, menu, palette) => {
        app.commands.addCommand(COMMAND, {
          label: 'Start Page',
          caption: 'What is in this image, and how to use it',
          icon: infoIcon,
          execute: () => {
            window.open(URLExt.join(PageConfig.getBaseUrl(), 'dsvm/start'), '_blank', 'noopener');
          }
        });
        launcher?.add({ command: COMMAND, category: 'Other', rank: 0 });
        menu?.helpMenu.addGroup([{ command: COMMAND }], 0);
        palette?.addItem({ command: COMMAND, category: 'Help' });
      }
    };
  };

  (window._JUPYTERLAB ??= {})['dsvm-start-page'] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const found = await extension();
      return () => ({ __esModule: true, default: found });
    }
  };
})();
