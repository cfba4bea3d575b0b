"""Removal of lines that belong to a page and not to its text: navigation, counters, buttons, notices.

The kinds of lines are those of RefinedWeb's line-wise corrections (Penedo et al. 2023, Appendix G.2): mainly upper case, numbers
only, a counter ("3 likes"), a single word, or at most ten words with a telling pattern at the beginning ("sign-in"), at the end
("read more ...") or anywhere ("items in cart"). A document of which more than 5 % of the words went is dropped, as there.

To leave real text alone, the first and the last two kinds are treated differently. Lines of upper case, of numbers or of one word
are also headings, table cells, speakers and lists: they go only in a run of such lines that holds two lines with a telling pattern.
A telling pattern is the whole line, or begins or ends one of at most ten words that does not end like a sentence; patterns that are
headings as well ("Contact us", "Share") tell in company only. Notices of cookies and scripts may have sixty words
and 600 characters. Lines inside fences of code and indented lines are never looked at. The patterns, of our own choosing, are in
English, German, Spanish, French, Italian, Dutch and Portuguese.
"""

import re

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.recipe.cleaning import BoilerplateStep

__all__ = ["apply", "find_lines"]

_MAX_WORDS = 10
_MAX_CHARS = 100
_MAX_NOTICE_WORDS = 60
_MAX_NOTICE_CHARS = 600  # the patterns of notices take time that grows with the square
_TELLING_IN_RUN = 2

# What a line is: text, doubtful (upper case, numbers, one word), or telling.
_TEXT, _DOUBTFUL, _TELLS_IN_COMPANY, _TELLS = range(4)

_WHOLE = """
read more|load more|learn more|show all comments|click here|click to enlarge|back to top|skip to content|skip to main content|
skip navigation|jump to navigation|share this|share this post|share this article|share this page|pin it|follow us|
like us on facebook|register now|forgot your password|forgot password|my account|add to cart|add to basket|add to wishlist|
view cart|your cart is empty|buy now|proceed to checkout|leave a comment|leave a reply|post a comment|add a comment|
no comments|no comments yet|previous post|next post|older posts|newer posts|previous article|next article|related posts|
related articles|you may also like|print this page|email this|privacy policy|cookie policy|cookie settings|accept cookies|
accept all cookies|manage preferences|site map|subscribe now|subscribe to our newsletter|rss feed|powered by wordpress|
mehr lesen|mehr anzeigen|mehr erfahren|alle anzeigen|hier klicken|zum inhalt springen|zum seitenanfang|seite drucken|
passwort vergessen|mein konto|in den warenkorb|zur kasse|jetzt kaufen|kommentar schreiben|kommentar hinterlassen|
schreibe einen kommentar|keine kommentare|vorheriger beitrag|nächster beitrag|ältere beiträge|neuere beiträge|
ähnliche beiträge|ähnliche artikel|das könnte sie auch interessieren|cookies akzeptieren|newsletter abonnieren|leer más|
seguir leyendo|mostrar más|saber más|haga clic aquí|volver arriba|ir al contenido|saltar al contenido|mi cuenta|
olvidé mi contraseña|añadir al carrito|agregar al carrito|ver carrito|comprar ahora|deja un comentario|deja una respuesta|
dejar un comentario|sin comentarios|entrada anterior|entrada siguiente|siguiente entrada|artículos relacionados|
entradas relacionadas|también te puede interesar|política de privacidad|política de cookies|aceptar cookies|aceptar todas|
lire la suite|lire plus|en savoir plus|afficher plus|cliquez ici|haut de page|retour en haut|aller au contenu|mon compte|
mot de passe oublié|ajouter au panier|voir le panier|acheter maintenant|laisser un commentaire|laissez un commentaire|
aucun commentaire|article précédent|article suivant|articles similaires|articles récents|vous aimerez aussi|
politique de confidentialité|politique de cookies|accepter les cookies|plan du site|leggi tutto|leggi di più|
continua a leggere|mostra di più|vedi tutti|scopri di più|clicca qui|torna su|torna all'inizio|vai al contenuto|
crea un account|il mio account|password dimenticata|aggiungi al carrello|vai al carrello|acquista ora|lascia un commento|
lascia una risposta|nessun commento|articolo precedente|articolo successivo|articoli correlati|articoli recenti|
potrebbe interessarti anche|informativa sulla privacy|informativa sui cookie|accetta i cookie|iscriviti alla newsletter|
mappa del sito|lees meer|lees verder|meer lezen|meer weergeven|toon meer|bekijk alle|klik hier|terug naar boven|
naar de inhoud|ga naar de inhoud|volg ons|mijn account|wachtwoord vergeten|in winkelwagen|in winkelmandje|nu kopen|
laat een reactie achter|geef een reactie|plaats een reactie|geen reacties|vorig bericht|volgend bericht|
gerelateerde artikelen|gerelateerde berichten|misschien vind je dit ook leuk|cookies accepteren|schrijf je in|leia mais|
ler mais|continue lendo|continuar lendo|continuar a ler|mostrar mais|saiba mais|clique aqui|voltar ao topo|ir para o conteúdo|
pular para o conteúdo|saltar para o conteúdo|minha conta|esqueci minha senha|adicionar ao carrinho|ver carrinho|comprar agora|
deixe um comentário|deixe uma resposta|nenhum comentário|sem comentários|post anterior|próximo post|artigos relacionados|
posts relacionados|você também pode gostar|política de privacidade|aceitar cookies|assine a newsletter|mapa do site|
weiterlesen|datenschutzerklärung|cookie-einstellungen|síguenos|suscríbete|suivez-nous|abonnez-vous|privacybeleid|
privacyverklaring|cookiebeleid|siga-nos|cadastre-se|inscreva-se
"""
_IN_COMPANY = """
show more|see more|view more|see all|view all|share|tweet|sign in|sign up|log in|log out|login|create account|shopping cart|
checkout|reply|recent posts|popular posts|about us|contact us|terms of use|terms of service|terms and conditions|accept all|
reject all|all rights reserved|sitemap|advertisement|sponsored|subscribe|newsletter|loading|please wait|nach oben|teilen|
twittern|anmelden|einloggen|registrieren|konto erstellen|warenkorb|antworten|über uns|kontakt|impressum|nutzungsbedingungen|
datenschutz|allgemeine geschäftsbedingungen|alle akzeptieren|alle rechte vorbehalten|anzeige|werbung|ver más|ver todo|
compartir|tuitear|iniciar sesión|regístrate|registrarse|crear cuenta|responder|sobre nosotros|quiénes somos|contáctanos|
términos y condiciones|términos de uso|aviso legal|aceptar todo|todos los derechos reservados|publicidad|suscribirse|
voir plus|voir tout|partager|se connecter|s'identifier|s'inscrire|créer un compte|répondre|à propos de nous|nous contacter|
contactez-nous|mentions légales|conditions d'utilisation|tout accepter|tout refuser|tous droits réservés|publicité|s'abonner|
condividi|seguici|accedi|registrati|rispondi|chi siamo|contattaci|termini e condizioni|condizioni d'uso|accetta tutti|
tutti i diritti riservati|pubblicità|iscriviti|delen|inloggen|aanmelden|registreren|account aanmaken|beantwoorden|over ons|
neem contact op|algemene voorwaarden|gebruiksvoorwaarden|alles accepteren|alle rechten voorbehouden|advertentie|abonneren|
ver mais|ver tudo|compartilhar|partilhar|iniciar sessão|fazer login|entrar|criar conta|sobre nós|quem somos|fale conosco|
contate-nos|termos de uso|termos e condições|aceitar todos|todos os direitos reservados|publicidade
"""
_BEGINS = """
share on|share via|tweet this|follow us on|like us on|find us on|join us on|sign in to|sign up for|log in to|subscribe to our|
subscribe to the newsletter|posted by|posted in|posted on|filed under|tagged with|skip to|you must be logged in|items in cart|
be the first to comment|click here to|teilen auf|folgen sie uns auf|folge uns auf|veröffentlicht von|veröffentlicht in|
veröffentlicht am|eingestellt von|abgelegt unter|verschlagwortet mit|klicken sie hier|compartir en|compartir por|síguenos en|
publicado por|publicado en|publicado el|archivado en|etiquetado con|haz clic aquí|partager sur|partager par|suivez-nous sur|
publié par|publié dans|publié le|posté par|classé dans|cliquez ici|condividi su|condividi via|seguici su|pubblicato da|
pubblicato in|pubblicato il|postato da|archiviato in|clicca qui|deel op|deel via|delen op|volg ons op|geplaatst door|
geplaatst in|geplaatst op|gepubliceerd door|klik hier|compartilhar no|compartilhar em|compartilhe no|partilhar no|siga-nos no|
postado por|publicado em|arquivado em|clique aqui|proudly powered by
"""
_ENDS = """
read more|continue reading|learn more|click here|min read|minutes read|items in cart|add to cart|weiterlesen|mehr lesen|
mehr erfahren|leer más|seguir leyendo|lire la suite|en savoir plus|leggi tutto|continua a leggere|lees meer|lees verder|
leia mais|continue lendo|continuar lendo|saiba mais
"""
_COUNTED = (
    "comments?|likes?|shares?|views?|replies|reply|followers?|following|retweets?|reposts?|ratings?|reviews?|votes?|points?|upvotes?"
    "|subscribers?|items?|results?|(?:min|minutes?) read"
    "|kommentare?|aufrufe|antworten|bewertungen?|abonnenten|comentarios?|me gusta|vistas|visitas|respuestas?|seguidores"
    "|commentaires?|j'aime|vues|partages?|réponses?|abonnés?|comment[io]|mi piace|visualizzazioni|condivisioni|risposte"
    "|reacties?|weergaven|volgers|comentários?|curtidas|visualizações|respostas?|compartilhamentos"
)
_NUMBER = r"\d{1,3}(?:[.,\s]?\d{3})*(?:[.,]\d(?=\s?[km]))?\s?[km]?\+?"
_COUNTER = re.compile(rf"[(\[]?{_NUMBER}\s(?:{_COUNTED})[)\]]?(?:\s?[|·•]?\s?{_NUMBER}\s(?:{_COUNTED}))*")

_USE_COOKIES = re.compile(
    r"(?:use[sd]?|using|set|accept|verwende[nt]|nutz(?:en|t)|setzen|nutzung von|verwendung von|utiliza(?:mos)?|usa(?:mos)?|uso de"
    r"|utilisons|utilise|utilisation d[e']s?|utilizza(?:no|mo|ndo)?|usiamo|l'uso dei|gebruik(?:en|t)?|gebruik van|utilização de)"
    r"(?: \w++){0,3} cookies\b"
)
_OUR_SITE = re.compile(
    r"\b(?:(?:our|this|your) (?:web|site|experience|device|brows)|we use|wir|unsere[nr]?|diese[rn]? (?:web|seite)|nuestr[ao]s?"
    r"|este (?:sitio|site|portal)|est[ae] (?:web|página)|su (?:experiencia|navegación)|nous|notre|ce site|votre|questo sito"
    r"|nostr[oiae]|usiamo|vostra|tua|wij|we|onze|deze (?:web)?site|uw|noss[oa]s?|nós|su[ae] (?:visita|experiência|navegação))\b"
)
_SCRIPT = re.compile(
    r"(?:enable|requires?|turn on|activate|needs?|aktivier|aktiver|active[rz]|habilit|attiva|abilita|schakel|ative)\w*+"
    r"(?: \w++){0,4} javascript|javascript (?:\w+ ){1,3}(?:disabled|enabled|required|turned off|deaktiviert|erforderlich|désactivé"
    r"|requis|desactivado|necesario|disabilitato|necessario|uitgeschakeld|vereist|desativado|necessário)"
)

_CODE = re.compile(r"[{}<>=;|\\$_#@*]|::|->|\(\)")
_EDGES = " \t\r\f\v\xa0.…·•»›>→←«‹<|/\\-–—_*+#=~^:,;!?()[]{}\"'“”„’‘&▼▲►◄✓×"


def _phrases(listing: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in listing.replace("\n", "").split("|"))


def _by_edge(phrases: frozenset[str], place: int) -> dict[str, tuple[str, ...]]:
    """Return the phrases by their first (0) or last (-1) word."""
    table: dict[str, list[str]] = {}
    for phrase in sorted(phrases):
        table.setdefault(phrase.split()[place], []).append(phrase)
    return {word: tuple(found) for word, found in table.items()}


_WHOLE_SET, _COMPANY_SET = _phrases(_WHOLE), _phrases(_IN_COMPANY)
_BEGINS_BY_WORD = _by_edge(_phrases(_BEGINS), 0)
_ENDS_BY_WORD = _by_edge(_phrases(_ENDS), -1)


def apply(batch: TextBatch, config: BoilerplateStep) -> None:
    """Remove the lines, with the blank line after each; drop documents that lose more than `max_removed_frac` of their words.

    Edits: "boilerplate: lines" removed from documents that stay. The reason is "boilerplate: too much", its detail the share.
    """
    for row in batch.rows:
        text = batch.texts[row]
        lines = text.split("\n")
        gone = find_lines(lines)
        if not gone:
            continue
        removed = sum(len(lines[number].split()) for number in gone)
        share = removed / len(text.split())
        if share > config.max_removed_frac:
            batch.drop(row, "boilerplate: too much", f"{share:.4g}")
            continue
        batch.edits["boilerplate: lines"] += len(gone)
        batch.replace(row, "\n".join(_without(lines, set(gone))))


def find_lines(lines: list[str]) -> list[int]:
    """Return the numbers of the lines that are no text, in order."""
    found: list[int] = []
    run: list[tuple[int, int]] = []
    fence = ""
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            continue
        kind = _TEXT
        if bare.startswith(("```", "~~~")):
            fence = "" if fence and bare.startswith(fence) else fence or bare[:3]
        elif not fence and not line.startswith(("    ", "\t", "#")):
            kind = _kind(bare)
        if kind != _TEXT:
            run.append((number, kind))
        elif run:
            found += _gone(run)
            run = []
    return found + _gone(run)


def _gone(run: list[tuple[int, int]]) -> list[int]:
    """Return what goes of a run of doubtful lines: all of it when two of them are telling, otherwise one that tells alone."""
    all_of_it = sum(kind >= _TELLS_IN_COMPANY for _, kind in run) >= _TELLING_IN_RUN
    return [number for number, kind in run if kind == _TELLS or all_of_it]


def _kind(line: str) -> int:
    if len(line) > _MAX_CHARS:
        return _TELLS if _is_notice(line) else _TEXT
    core = line.lower().strip(_EDGES)
    if core in _WHOLE_SET:
        return _TELLS
    if core in _COMPANY_SET:
        return _TELLS_IN_COMPANY
    words = core.split()
    if not words and not any(char.isalnum() for char in line):
        return _TEXT
    if 1 < len(words) <= _MAX_WORDS and _tells(line, core, words):
        return _TELLS
    if _is_notice(line):
        return _TELLS
    doubtful = len(words) <= _MAX_WORDS and (len(words) <= 1 or line.isupper() or not any(char.isalpha() for char in core))
    return _DOUBTFUL if doubtful and not _CODE.search(line) else _TEXT


def _tells(line: str, core: str, words: list[str]) -> bool:
    """Tell whether a pattern begins or ends the line, or the line is a counter; sentences are neither."""
    if line[-1] in ".!?:;," and not line.endswith(("...", "…")):
        return False
    begins = any(core.startswith(f"{phrase} ") for phrase in _BEGINS_BY_WORD.get(words[0], ()))
    ends = any(core.endswith(f" {phrase}") for phrase in _ENDS_BY_WORD.get(words[-1], ()))
    return begins or ends or (core[0].isdigit() and _COUNTER.fullmatch(core) is not None)


def _is_notice(line: str) -> bool:
    if len(line) > _MAX_NOTICE_CHARS:
        return False
    low = line.lower()
    if "cookie" not in low and "javascript" not in low:
        return False
    if len(low.split()) > _MAX_NOTICE_WORDS:
        return False
    if "cookie" in low and _USE_COOKIES.search(low) and _OUR_SITE.search(low):
        return True
    return _SCRIPT.search(low) is not None and ("browser" in low or "navegador" in low or "navigateur" in low)


def _without(lines: list[str], gone: set[int]) -> list[str]:
    """Return the lines that stay, with one of two blank lines that come together where lines went."""
    kept: list[str] = []
    after_gap = False
    for number, line in enumerate(lines):
        if number in gone:
            after_gap = True
        elif not (after_gap and not line.strip() and (not kept or not kept[-1].strip())):
            kept.append(line)
            after_gap = after_gap and not line.strip()
    return kept
